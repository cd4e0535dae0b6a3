import numpy as np
import pytest

from lib.scoring.intervals import clustered_mean


def test_rows_of_their_own_have_the_usual_interval():
    values = np.random.default_rng(0).normal(3, 2, 500)
    found = clustered_mean(values, np.arange(500))
    assert found.mean == pytest.approx(values.mean())
    assert found.error == pytest.approx(values.std(ddof=1) / np.sqrt(500))
    assert found.high - found.mean == pytest.approx(1.959964 * found.error)


def test_rows_that_are_copies_count_once():
    values = np.random.default_rng(1).normal(0, 1, 50)
    once, copied = clustered_mean(values, np.arange(50)), clustered_mean(np.repeat(values, 7), np.repeat(range(50), 7))
    assert (copied.mean, copied.error) == (pytest.approx(once.mean), pytest.approx(once.error))


def test_nineteen_intervals_of_twenty_hold_the_truth():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(1000):
        groups = np.repeat(np.arange(40), 5)
        found = clustered_mean(rng.normal(0, 1, 40)[groups] + rng.normal(0, 1, 200), groups)
        held += found.low <= 0 <= found.high
    assert 920 <= held <= 970


def test_of_one_group_nothing_is_known():
    assert np.isnan(clustered_mean(np.arange(3.0), np.zeros(3)).error)
