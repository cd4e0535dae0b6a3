import numpy as np
import pytest
from scipy import stats

from lib.scoring.aggregates.means import MeanSums, rate_of


def sums(values: list[float], clusters: list[int]) -> MeanSums:
    found = MeanSums()
    for start in range(0, len(values), 3):
        found.add(np.array(values[start : start + 3]), clusters[start : start + 3])
    return found


def test_with_a_value_in_each_cluster_it_is_students_interval() -> None:
    values = [1.0, 2.0, 4.0, 4.5, 3.0, 2.5, 5.0]
    found = sums(values, list(range(7))).mean()
    low, high = stats.t.interval(0.95, 6, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert (found.rows, found.clusters) == (7, 7)


def test_values_by_themselves_need_no_names() -> None:
    values = np.array([1.0, 2.0, 4.0, float("nan"), 4.5])
    weights = np.array([1.0, 3.0, 1.0, 1.0, 0.5])
    named, alone = MeanSums(), MeanSums()
    named.add(values, range(5), weights)
    alone.add(values[:2], None, weights[:2])
    alone.add(values[2:], None, weights[2:])
    one, other = named.mean(), alone.mean()
    assert (one.rows, one.clusters) == (other.rows, other.clusters) == (4, 4)
    assert (one.mean, one.low, one.high) == pytest.approx((other.mean, other.low, other.high))


def test_equal_clusters_count_as_their_means() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(12, 4)) + rng.normal(size=(12, 1))
    found = sums(values.ravel().tolist(), np.repeat(np.arange(12), 4).tolist()).mean()
    means = values.mean(axis=1)
    low, high = stats.t.interval(0.95, 11, loc=means.mean(), scale=stats.sem(means))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_there_is_no_interval_of_one_cluster_and_no_mean_of_nothing() -> None:
    one = sums([1.0, 3.0, float("nan")], [0, 0, 1]).mean()
    assert (one.rows, one.clusters, one.mean, one.low, one.high) == (2, 1, 2, None, None)
    nothing = sums([float("nan")], [0]).mean()
    assert (nothing.rows, nothing.mean, nothing.low) == (0, None, None)


def test_the_interval_covers_where_rows_of_a_question_depend_on_each_other() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        values = rng.normal(size=(30, 5)) + 2 * rng.normal(size=(30, 1))
        found = MeanSums()
        found.add(values.ravel(), np.repeat(np.arange(30), 5).tolist())
        mean = found.mean()
        assert mean.low is not None
        assert mean.high is not None
        covered += mean.low <= 0 <= mean.high
    assert 0.92 <= covered / 400 <= 0.98  # 0.95 within three standard errors of 400 draws


def test_values_that_are_all_alike_tell_no_interval() -> None:
    found = sums([0.1] * 6, list(range(6))).mean()
    assert (found.mean, found.low, found.high) == (pytest.approx(0.1), None, None)


def test_a_rate_stays_in_its_bounds() -> None:
    found = rate_of(np.array([1.0, 1.0, 0.0]), [0, 1, 2])
    assert (found.mean, found.low, found.high) == (pytest.approx(2 / 3), 0, 1)


def test_weights_count_values_as_often_as_they_say() -> None:
    values, weights = np.array([1.0, 0.0, 0.5, 1.0]), np.array([3.0, 1.0, 2.0, 1.0])
    found = rate_of(values, [0, 1, 2, 3], weights)
    assert found.mean == pytest.approx((3 + 1 + 1) / 7)
    # A value of weight w is w equal values of one cluster.
    often = rate_of(np.repeat(values, weights.astype(int)), np.repeat(range(4), weights.astype(int)).tolist())
    assert (found.low, found.high) == pytest.approx((often.low, often.high))
