"""What happens to a night: a kill, a full disk, a file that is still being written. Each returns what is wrong then."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.running import ROOT, Done

Line = Sequence[str]  # NAME OVERRIDES…: of a job
Disturbance = Callable[[Path, Line], str]  # of the run in this folder
_PATIENCE = 300.0


def killed(run: Path, line: Line) -> str:
    """SIGKILL after the first shards."""
    slow = "engine.seconds_per_request=0.2"  # changes no result
    with subprocess.Popen(_command(*line, slow), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        end = time.monotonic() + _PATIENCE
        while not list(run.glob("shards/*/*.parquet")) and job.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        job.kill()
    if job.returncode != -signal.SIGKILL or (run / "result.parquet").exists():
        return f"it was to be killed, and ended with {job.returncode}"
    return ""


def full_disk(sizes: Sequence[int], _run: Path, line: Line) -> str:
    """No file may be larger than so many bytes, in one start after another; with the first no night can end well."""
    for size in sizes:
        done = subprocess.run(
            _command(*line),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
            preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size)),
        )
        if "Traceback" in done.stderr or done.returncode not in ((1,) if size == sizes[0] else (0, 1)):
            return f"with files of {size} bytes at most it ended with {done.returncode} ({_last(done)})"
    return ""


def late_file(file: Path, refused: Callable[[], Done], run: Path, _line: Line) -> str:
    """Of a file that is there only in part the run says so; the rest is being written when it is begun again."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    done = refused()
    if done.returncode != 2 or "data.settle" not in done.stderr or run.exists():
        return f"an unfinished file ended with {done.returncode} ({_last(done)})"
    os.utime(file)
    threading.Timer(1.0, file.write_bytes, [content]).start()
    return ""


def _command(name: str, *overrides: str) -> list[str]:
    return [sys.executable, "-m", f"jobs.{name}", *overrides]


def _last(done: Done) -> str:
    return done.stderr.strip().rpartition("\n")[2]
