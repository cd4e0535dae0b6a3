import numpy as np
import pytest
from scipy import stats

from lib.scoring.inference import estimates
from lib.scoring.inference.estimates import ClusterSums, Estimate, as_share, estimate, ratio, row_keys


def sums_of(keys, *columns):
    found = ClusterSums(len(columns))
    found.add(np.asarray(keys, np.uint64), np.column_stack(columns))
    return found


def test_a_mean_of_independent_rows_has_students_interval():
    values = np.random.default_rng(0).normal(3, 2, 25)
    found = ratio(sums_of(row_keys(0, 25), values, np.ones(25)).sums, 0, 1)
    low, high = stats.t.interval(0.95, 24, values.mean(), stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_a_mean_of_rows_in_clusters_is_left_without_each_of_them():
    rng = np.random.default_rng(1)
    question = rng.integers(0, 12, 60)
    values = rng.normal(0, 1, 12)[question] + rng.normal(0, 1, 60)
    found = ratio(sums_of(question, values, np.ones(60)).sums, 0, 1)
    without = [values[question != q].mean() for q in range(12)]
    error = np.sqrt(11 / 12 * np.sum(np.square(without - values.mean())))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 11) * error)
    residuals = [values[question == q].sum() - values.mean() * (question == q).sum() for q in range(12)]
    assert error == pytest.approx(np.sqrt(12 / 11 * np.sum(np.square(residuals))) / 60, rel=0.1)  # the sandwich


def test_a_figure_that_hangs_on_one_cluster_has_no_interval():
    def half_of_one(total):
        return np.where(total[..., 0] > 1, 0.5, np.nan)

    assert estimate(half_of_one, np.ones((2, 1))) == Estimate(0.5)


def test_blocks_in_any_order_are_as_the_whole():
    rng = np.random.default_rng(2)
    keys, values = rng.integers(0, 40, 300).astype(np.uint64), rng.random((300, 3))
    whole, parts = ClusterSums(3), ClusterSums(3)
    whole.add(keys, values)
    for start in (200, 0, 100):
        parts.add(keys[start : start + 100], values[start : start + 100])
    parts.add(keys[:0], values[:0])
    np.testing.assert_allclose(parts.sums, whole.sums)
    assert len(parts) == len(whole) == 40
    np.testing.assert_allclose(whole.total, values.sum(axis=0))


def test_more_clusters_than_are_kept_are_put_together_and_give_the_same_interval(monkeypatch):
    rng = np.random.default_rng(3)
    keys, values = row_keys(0, 100_000), np.column_stack([rng.exponential(1, 100_000), np.ones(100_000)])
    exact = ratio(values, 0, 1)
    monkeypatch.setattr(estimates, "MOST_CLUSTERS", 2000)
    some, others = ClusterSums(2), ClusterSums(2)
    for start in range(0, 100_000, 10_000):
        some.add(keys[start : start + 10_000], values[start : start + 10_000])
    others.add(keys, values)
    assert 1000 < len(some) <= 2000
    np.testing.assert_allclose(some.sums, others.sums)
    found = ratio(some.sums, 0, 1)
    assert found.value == pytest.approx(exact.value)
    assert found.high - found.low == pytest.approx(exact.high - exact.low, rel=0.08)


def test_one_cluster_has_no_interval_and_leaves_everything_open():
    found = ratio(sums_of([7, 7], [1.0, 2.0], [1, 1]).sums, 0, 1)
    assert found == Estimate(1.5)
    assert found.holds(99)
    assert as_share(found, 1) == found


def test_an_estimate_holds_what_is_in_its_interval_and_turns_with_its_sign():
    found = Estimate(0.2, -0.1, 0.5)
    assert found.holds(0)
    assert not found.holds(0.6)
    assert found.negative == Estimate(-0.2, -0.5, 0.1)


@pytest.mark.parametrize("count", [2, 30])
def test_a_share_of_none_or_all_has_clopper_and_pearsons_interval(count):
    every, none = as_share(Estimate(1, 1, 1), count), as_share(Estimate(0, 0, 0), count)
    exact = stats.binomtest(count, count).proportion_ci(0.95, method="exact")
    assert (every.low, every.high) == pytest.approx((exact.low, 1))
    assert (none.low, none.high) == pytest.approx((0, 1 - exact.low))
    assert as_share(Estimate(0.99, 0.97, 1.01), count) == Estimate(0.99, 0.97, 1.0)


def test_keys_of_rows_differ_and_are_spread_evenly():
    keys = np.concatenate([row_keys(0, 5000), row_keys(5000, 5000)])
    assert len(np.unique(keys)) == 10_000
    assert np.bincount((keys >> np.uint64(60)).astype(int), minlength=16) == pytest.approx(625, abs=100)
