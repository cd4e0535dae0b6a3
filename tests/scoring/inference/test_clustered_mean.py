import numpy as np
import pytest
from scipy.stats import t as student

from lib.scoring.inference.estimates import clustered_mean


def test_rows_of_their_own_have_the_usual_interval() -> None:
    values = np.random.default_rng(0).normal(3, 2, 30)
    found = clustered_mean(values, np.arange(30, dtype=np.uint64))
    low, high = student.interval(0.95, 29, values.mean(), values.std(ddof=1) / np.sqrt(30))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert found.error == pytest.approx(values.std(ddof=1) / np.sqrt(30))


def test_rows_that_are_copies_count_once() -> None:
    values = np.random.default_rng(1).normal(0, 1, 50)
    numbers = np.arange(50, dtype=np.uint64)
    once, copied = clustered_mean(values, numbers), clustered_mean(np.repeat(values, 7), np.repeat(numbers, 7))
    assert (copied.value, copied.error) == (pytest.approx(once.value), pytest.approx(once.error))


@pytest.mark.parametrize("clusters", [8, 40])
def test_nineteen_intervals_of_twenty_hold_the_truth(clusters: int) -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(clusters, dtype=np.uint64), 5)
    draws = (rng.normal(0, 1, clusters)[groups] + rng.normal(0, 1, 5 * clusters) for _ in range(1000))
    assert 935 <= sum(clustered_mean(values, groups).holds(0) for values in draws) <= 965


def test_of_one_group_nothing_is_known() -> None:
    found = clustered_mean(np.arange(3.0), np.zeros(3, np.uint64))
    assert (found.value, found.low, found.error) == (1, None, None)
