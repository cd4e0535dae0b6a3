import os
import signal
import threading

import pytest

from lib.errors import ExitCode, Stopped
from lib.pipeline.stop import Stop

SIGNALS = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGUSR1: ExitCode.UNFINISHED,
}


def send(number: signal.Signals) -> None:
    """Python handles a signal to itself before the next line."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), SIGNALS.items())
def test_first_signal_asks_for_an_orderly_end(number: signal.Signals, code: ExitCode) -> None:
    with Stop(3600) as stop:
        assert not stop.requested
        stop.raise_if_requested()
        send(number)
        assert stop.requested
        assert not stop.expired
        with pytest.raises(Stopped, match=f"stopped by {number.name}") as stopped:
            stop.raise_if_requested()
    assert stopped.value.exit_code == code


@pytest.mark.parametrize("number", SIGNALS)
def test_second_signal_ends_at_once(number: signal.Signals) -> None:
    with Stop(3600):
        send(signal.SIGTERM)
        with pytest.raises(Stopped, match="stopped by SIGTERM") as stopped:
            send(number)
    assert stopped.value.exit_code == ExitCode.TERMINATED


def test_without_grace_shards_in_flight_are_abandoned_at_once() -> None:
    with Stop(0) as stop:
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
    with Stop(30) as stop:
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
