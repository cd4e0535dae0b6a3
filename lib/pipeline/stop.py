"""Stopping a run: the first signal asks for an orderly end, the second one ends it at once."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from lib.errors import ExitCode, Stopped

_EXIT_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGUSR1: ExitCode.UNFINISHED,
}
STOPPED = frozenset(_EXIT_CODES.values())


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """While entered (in the main thread), a signal raises Stopped, wherever the job is; `Stop` is gentler."""
    before = {number: signal.signal(number, _raise) for number in _EXIT_CODES}
    try:
        yield
    except SystemExit:  # Ray's own handler of SIGTERM, while Ray starts
        raise _stopped(signal.SIGTERM) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _raise(number: int, frame: FrameType | None) -> None:
    raise _stopped(signal.Signals(number))


def _stopped(number: signal.Signals) -> Stopped:
    return Stopped(f"stopped by {number.name}", _EXIT_CODES[number])


class Stop:
    """While entered (in the main thread), SIGINT, SIGTERM and SIGUSR1 ask the run to stop.

    grace: seconds that shards in flight get to finish.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._signal: signal.Signals | None = None
        self._deadline = float("inf")
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Stop":
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # type: ignore[arg-type]

    def listen(self) -> None:
        """Install the handlers (again: Ray replaces that of SIGTERM when it starts)."""
        if threading.current_thread() is threading.main_thread():
            for number in _EXIT_CODES:
                before = signal.signal(number, self._handle)
                self._before.setdefault(number, before)

    @property
    def requested(self) -> bool:
        """Whether no more shards are to be handed out."""
        return self._signal is not None

    @property
    def expired(self) -> bool:
        """Whether shards in flight are to be abandoned."""
        return time.monotonic() >= self._deadline

    def raise_if_requested(self) -> None:
        """Raise Stopped where a signal came."""
        if self._signal is not None:
            raise _stopped(self._signal)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            self.raise_if_requested()
        self._signal = signal.Signals(number)
        self._deadline = time.monotonic() + self._grace
