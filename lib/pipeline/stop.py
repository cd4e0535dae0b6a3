"""Stopping a run: the first signal asks for an orderly end, the second one ends it at once."""

import signal
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType, TracebackType

from lib.errors import ExitCode, Stopped

_EXIT_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGUSR1: ExitCode.UNFINISHED,
}


def stopped(number: signal.Signals) -> Stopped:
    """What a signal raises."""
    return Stopped(f"stopped by {number.name}", _EXIT_CODES[number])


class StopSignals:
    """While entered (in the main thread), a signal raises Stopped, wherever the job is; `Stop` is gentler.

    What a handler raises can get lost: in a `__del__`, in a callback, in a library that turns one exception into
    another. So the first signal is kept, and Stopped is raised at the next `Stop`, at the end at the latest. Behind the
    end a signal does nothing: what has come of the job stands, while the process still says so and ends.
    """

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        self._over = False
        self._show_lost = sys.unraisablehook

    def __enter__(self) -> "StopSignals":
        sys.unraisablehook = self._lost
        for number in _EXIT_CODES:
            signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        sys.unraisablehook = self._show_lost
        if not isinstance(error, Stopped):
            self.raise_if_caught()

    def raise_if_caught(self) -> None:
        """Raise Stopped where a signal came."""
        if self.caught is not None:
            raise stopped(self.caught)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._over:
            return
        self.caught = self.caught or signal.Signals(number)
        raise stopped(signal.Signals(number))

    def _lost(self, lost: "sys.UnraisableHookArgs") -> None:
        """Show what got lost, unless it is what a handler raised: that is raised again."""
        if not isinstance(lost.exc_value, Stopped):
            self._show_lost(lost)


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
        for handler in self._before.values():
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, StopSignals):
                outer.raise_if_caught()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _restore(self._before)
        if self._signal is not None and not isinstance(error, Stopped):  # whatever came of it, it was a stop
            raise stopped(self._signal) from error

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
            raise stopped(self._signal)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            self.raise_if_requested()
        self._signal = signal.Signals(number)
        self._deadline = time.monotonic() + self._grace


def _restore(handlers: Mapping[signal.Signals, object]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler or signal.SIG_DFL)  # type: ignore[arg-type]
