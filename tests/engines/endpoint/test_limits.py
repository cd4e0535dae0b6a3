import pytest

from lib.engines.endpoint.limits import Budget, Pace, Prices


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def send(pace: Pace, clock: Clock, count: int, tokens: int = 0) -> list[float]:
    """When so many requests are sent, one after another."""
    times = []
    for _ in range(count):
        clock.now += pace.turn(tokens)
        times.append(clock.now - 100)
    return times


def test_requests_are_spaced() -> None:
    clock = Clock()
    assert send(Pace(120, None, clock), clock, 5) == pytest.approx([0, 0.5, 1, 1.5, 2])


def test_tokens_are_spaced_and_those_not_used_are_given_back() -> None:
    clock = Clock()
    pace = Pace(None, 6000, clock)
    assert send(pace, clock, 3, 200) == pytest.approx([0, 2, 4])
    pace.give_back(150)
    assert send(pace, clock, 2, 200) == pytest.approx([4.5, 6.5])


def test_turns_taken_at_once_come_one_after_another() -> None:
    clock = Clock()
    pace = Pace(60, None, clock)
    assert [pace.turn(0) for _ in range(3)] == pytest.approx([0, 1, 2])


def test_a_pause_is_for_all() -> None:
    clock = Clock()
    pace = Pace(None, None, clock)
    pace.pause(10)
    pace.pause(5)
    assert pace.paused == 10
    clock.now += 12
    assert pace.paused == 0


def test_what_tokens_cost() -> None:
    prices = Prices(prompt=2, completion=8, cached=0.5)
    assert prices.cost(1_000_000, 500_000) == 6
    assert prices.cost(1_000_000, 0, 600_000) == pytest.approx(0.8 + 0.3)
    assert Prices(prompt=2).cost(1_000_000, 0, 600_000) == 2


def test_a_budget_holds_back_what_may_be_needed() -> None:
    budget = Budget(10)
    assert budget.hold(6)
    assert budget.hold(6) is None  # perhaps later
    budget.settle(6, 3)
    assert budget.spent == 3
    assert budget.hold(6)
    assert budget.hold(2) is None
    budget.settle(6, 6)
    assert budget.hold(2) is False
    assert Budget(None).hold(1e12)
