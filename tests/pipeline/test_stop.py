import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from lib.errors import ExitCode, Stopped
from lib.pipeline.stop import Stop, StopSignals
from tests.pipeline.conftest import SIGNALS, stops
from tests.running import Job, handlers_as_before


def send(number: signal.Signals) -> None:
    """Python handles a signal to itself before the next line."""
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    with handlers_as_before():
        yield


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_asks_for_an_orderly_end(number: signal.Signals) -> None:
    with stops(number), Stop(3600) as stop:
        assert not stop.requested
        stop.raise_if_requested()
        send(number)
        assert stop.requested
        assert not stop.expired
        with stops(number):
            stop.raise_if_requested()


@pytest.mark.parametrize("number", SIGNALS)
def test_second_signal_ends_at_once(number: signal.Signals) -> None:
    with stops(signal.SIGTERM), Stop(3600):
        send(signal.SIGTERM)
        with stops(signal.SIGTERM):
            send(number)


def test_without_grace_shards_in_flight_are_abandoned_at_once() -> None:
    with stops(signal.SIGUSR1), Stop(0) as stop:
        assert not stop.expired
        send(signal.SIGUSR1)
        assert stop.expired


def test_handlers_are_those_of_before_again() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Stop(30) as stop:
        assert [signal.getsignal(number) for number in SIGNALS] != before
        stop.listen()  # again, as after the start of Ray
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with pytest.raises(Stopped), Stop(30):
        raise Stopped("inside", 1)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_listening_again_takes_a_signal_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stops(signal.SIGTERM), Stop(30) as stop:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as Ray does; the process would end now
        stop.listen()
        send(signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) == before


def test_beside_the_main_thread_signals_are_left_alone() -> None:
    before, found = [signal.getsignal(number) for number in SIGNALS], []

    def work() -> None:
        with Stop(30) as stop:
            found.append([signal.getsignal(number) for number in SIGNALS])
            found.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before, False]


class _Deaf:
    """Gets a signal where Python ignores what is raised."""

    def __del__(self) -> None:
        send(signal.SIGUSR1)


def test_a_stop_that_got_lost_is_raised_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)
    said = []
    with stops(signal.SIGUSR1), StopSignals():
        _Deaf()
        said.append("goes on")
    assert said == ["goes on"]
    assert not shown
    with StopSignals():
        _Broken()
    assert len(shown) == 1


def test_a_stop_that_got_lost_is_raised_before_there_is_more_work() -> None:
    with stops(signal.SIGUSR1), StopSignals():
        _Deaf()
        with Stop(30):
            pytest.fail("works on")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_behind_the_end_changes_nothing(number: signal.Signals) -> None:
    with StopSignals() as stops:
        pass
    send(number)
    assert stops.caught is None


class _Broken:
    def __del__(self) -> None:
        raise ValueError


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_stop_that_was_turned_into_something_else_is_one_all_the_same(error: type[BaseException]) -> None:
    with stops(signal.SIGTERM), StopSignals():
        try:
            send(signal.SIGTERM)
        except BaseException:
            raise error from None


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_whatever_comes_of_a_signal_it_was_a_stop(error: type[BaseException]) -> None:
    with stops(signal.SIGINT), Stop(30):
        send(signal.SIGINT)
        raise error


def test_handlers_of_errors_let_a_stop_pass() -> None:
    with stops(signal.SIGINT), StopSignals():
        try:
            send(signal.SIGINT)
        except Exception:
            pytest.fail("taken for an error")


def test_what_a_library_makes_of_a_stop_is_no_defect_of_ours(quick_job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_made(composed: object) -> None:
        try:
            send(signal.SIGTERM)
        except BaseException:
            raise ValueError("half made") from None

    monkeypatch.setattr("lib.launch.typed", half_made)
    done = quick_job("judge", "engine=dummy", code=ExitCode.TERMINATED)
    assert done.stderr.startswith("stopped by SIGTERM; this line resumes it:\n")
