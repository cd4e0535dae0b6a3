"""The driver of a run as a fork of this process, which has imported everything."""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from jobs.judge import JOB
from lib.launch import launch

LINE = ("data=arena", "engine=dummy", "executor=inline", "run.shard_rows=3", "run.grace_seconds=0")
SLOW = "engine.seconds_per_request=0.005"  # changes no result


def begin(
    run: Path,
    line: Sequence[str],
    *,
    number: signal.Signals | None = None,
    after: float = 0,
    file_size: int | None = None,
) -> int:
    """Begin or resume a run in a fork, whose id is returned.

    A signal comes so many seconds after its handlers are in place; SIGKILL, after the beginning. file_size: bytes of a
    file, at most.
    """
    child = os.fork()
    if child:
        return child
    said = os.open(f"{run}.{os.getpid()}.said", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    if number is not None:
        threading.Thread(target=_send, args=(number, after), daemon=True).start()
    sys.argv = ["judge", *LINE, f"run.dir={run}", *line]
    code = 70
    try:
        launch(JOB)
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def finish(child: int, run: Path) -> tuple[int, str]:
    """The exit code of a fork, minus the signal's number if one ended it, and what it said."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    file = Path(f"{run}.{child}.said")
    said = file.read_text(errors="replace") if file.exists() else ""
    file.unlink(missing_ok=True)
    return code, said


def _send(number: signal.Signals, after: float) -> None:
    while number is not signal.SIGKILL and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
        time.sleep(0.0005)
    time.sleep(after)
    os.kill(os.getpid(), number)
