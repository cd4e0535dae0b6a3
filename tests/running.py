"""Two ways to run a job: the real command line in a process of its own, and the same in this process."""

import io
import logging
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
LOG = logging.getLogger("overnight")

Done = subprocess.CompletedProcess[str]
Job = Callable[..., Done]


def command_line(name: str, *overrides: str, code: int | None = 0, **environment: str) -> Done:
    """Run `python -m jobs.<name> <overrides>` from the root, as a user does.

    code: the exit code that is required, None for any. environment: variables besides those of the tests.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"jobs.{name}", *overrides],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    return _required(done, code)


def in_process(name: str, *overrides: str, code: int | None = 0, **environment: str) -> Done:
    """The same without a process: the job's file is run as `__main__`, and what it changes here is changed back.

    For runs with executor=inline, and for variables that no library has read at its import.
    """
    file = ROOT / "jobs" / f"{name}.py"
    output, errors = io.StringIO(), io.StringIO()
    with (
        _as_before(),
        handlers_as_before(),
        patch.object(sys, "argv", [str(file), *overrides]),
        patch.dict(os.environ, environment),
        patch.object(os, "_exit", sys.exit),  # where threads are left, such as those of the tests
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        try:
            runpy.run_path(str(file), run_name="__main__")
        except SystemExit as end:
            found = int(end.code or 0)
        else:
            found = 0
    done = subprocess.CompletedProcess(list(overrides), found, output.getvalue(), errors.getvalue())
    return _required(done, code)


def _required(done: Done, code: int | None) -> Done:
    if code is not None:
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@contextmanager
def handlers_as_before() -> Iterator[None]:
    """The handlers of signals, which a job leaves to the end of its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _as_before() -> Iterator[None]:
    """What a job leaves to the end of its process: the working folder, Hydra's state, the handlers of our log."""
    from hydra.core.singleton import Singleton

    here, hydra, propagates, level = Path.cwd(), deepcopy(Singleton.get_state()), LOG.propagate, LOG.level
    handlers, LOG.handlers = LOG.handlers, []
    os.chdir(ROOT)
    try:
        yield
    finally:
        os.chdir(here)
        Singleton.set_state(hydra)
        for handler in LOG.handlers:
            handler.close()
        LOG.handlers, LOG.propagate = handlers, propagates
        LOG.setLevel(level)
