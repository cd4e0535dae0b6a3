import os
import signal
import threading

import pytest

from lib.errors import Stopped
from lib.pipeline.stop import Stop, StopSignals
from tests.pipeline.conftest import SIGNALS, stops


def send(number: signal.Signals) -> None:
    """Python handles a signal to itself before the next line."""
    os.kill(os.getpid(), number)


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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_that_got_lost_is_raised_at_the_end() -> None:
    said = []
    with stops(signal.SIGUSR1), StopSignals():
        _Deaf()
        said.append("goes on")
    assert said == ["goes on"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_that_got_lost_is_raised_before_there_is_more_work() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with stops(signal.SIGUSR1), StopSignals():
        _Deaf()
        with Stop(30):
            pytest.fail("works on")
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_stop_that_was_turned_into_something_else_is_one_all_the_same(error: type[BaseException]) -> None:
    with stops(signal.SIGTERM), StopSignals():
        try:
            send(signal.SIGTERM)
        except BaseException:
            raise error from None
    with stops(signal.SIGINT), Stop(30):
        send(signal.SIGINT)
        raise error


def test_handlers_of_errors_let_a_stop_pass() -> None:
    with stops(signal.SIGINT), StopSignals():
        try:
            send(signal.SIGINT)
        except Exception:
            pytest.fail("taken for an error")
