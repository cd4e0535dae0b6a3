import warnings

import numpy as np
import pytest
from scipy.special import softmax

from lib.scoring.probabilities import (
    average_orders,
    blend,
    davidson,
    normalise_labels,
    swap_ab,
    threshold,
    to_millionths,
)


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_label_mass_is_what_is_renormalised_away():
    probabilities, mass = normalise_labels(np.log(np.array([[0.2, 0.1, 0.1], [0.5, 0.25, 0.25]], dtype=np.float32)))
    np.testing.assert_allclose(probabilities, [[0.5, 0.25, 0.25]] * 2, rtol=1e-6)
    np.testing.assert_allclose(mass, [0.4, 1.0], rtol=1e-6)
    assert probabilities.dtype == mass.dtype == np.float64


def test_labels_far_below_the_smallest_float_are_still_told_apart():
    probabilities, mass = normalise_labels([[-5000.0, -5000.0 - np.log(3), -np.inf]])
    np.testing.assert_allclose(probabilities, [[0.75, 0.25, 0.0]], rtol=1e-9)
    assert mass[0] == 0


def test_rows_without_an_answer_stay_nan():
    probabilities, mass = normalise_labels([[np.nan] * 3, [np.nan, -1.0, -1.0], [-np.inf] * 3, [-1.0] * 3])
    assert np.isnan(probabilities).all(axis=1).tolist() == [True, True, True, False]
    assert np.isnan(mass).tolist() == [True, True, False, False]
    assert mass[2] == 0


def test_swapping_and_averaging_cancels_a_preference_for_the_first_shown():
    fair = np.array([[0.5, 0.3, 0.2]])
    leaning = np.array([[0.1, -0.1, 0.0]])
    shown_first_a, shown_first_b = fair + leaning, swap_ab(swap_ab(fair) + leaning)
    np.testing.assert_allclose(average_orders(shown_first_a, shown_first_b), fair)
    np.testing.assert_allclose(shown_first_b, [[0.4, 0.4, 0.2]])


def test_davidson_has_its_odds():
    p = davidson([1.0, -2.0], [0.5, 1.0], scale=2.0, bias=0.3, log_nu=-0.7)
    z = 2.0 * np.array([0.5, -3.0]) + 0.3
    np.testing.assert_allclose(np.log(p[:, 0] / p[:, 1]), z)
    np.testing.assert_allclose(p[:, 2] / np.sqrt(p[:, 0] * p[:, 1]), np.exp(-0.7))
    np.testing.assert_allclose(p.sum(axis=1), 1)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e10])
def test_no_finite_score_overflows_davidson(scale):
    huge = np.finfo(np.float64).max
    p = davidson([huge, -huge, huge, 1e5], [-huge, huge, huge, 0.0], scale=scale, bias=0.0, log_nu=0.0)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(p[2], 1 / 3)
    if scale:
        np.testing.assert_array_equal(p[[0, 1, 3]], [[1, 0, 0], [0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("rule", [threshold, lambda a, b: davidson(a, b, scale=1.0, bias=0.0, log_nu=0.0)])
def test_scores_that_are_not_finite_give_no_probabilities(rule):
    p = rule([np.nan, np.inf, 0.0, np.inf, 1.0], [1.0, 0.0, -np.inf, np.inf, 0.0])
    assert np.isnan(p).all(axis=1).tolist() == [True, True, True, True, False]


def test_threshold_has_the_numbers_of_its_source():
    a = np.linspace(-3, 3, 121)
    b = np.random.default_rng(0).normal(0, 1, 121)
    expected = [
        [0.00005, 0.00005, 0.9999]
        if abs(x - y) < 0.08
        else [np.exp(x) / (np.exp(x) + np.exp(y)) - 0.0001, np.exp(y) / (np.exp(x) + np.exp(y)) - 0.0001, 0.0002]
        for x, y in zip(a, b, strict=True)
    ]
    assert 0 < sum(row[2] > 0.5 for row in expected) < 121
    np.testing.assert_allclose(threshold(a, b), expected, rtol=1e-12)


def test_threshold_stays_within_bounds_where_its_source_does_not():
    p = threshold([9.0, 9.3, -1e3, 1e308], [0.0, 0.0, 1e3, -1e308])
    assert p[0, 1] > 0
    np.testing.assert_allclose(p[1:], [[0.9998, 0, 0.0002], [0, 0.9998, 0.0002], [0.9998, 0, 0.0002]], rtol=1e-12)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)


def test_threshold_margin_is_open():
    np.testing.assert_array_equal(threshold([0.25, 0.25], [0.0, 0.125], tie_margin=0.25)[:, 2], [0.0002, 0.9999])


def test_millionths_sum_exactly_and_stay_next_to_the_truth():
    p = softmax(np.random.default_rng(1).normal(0, 4, (20_000, 3)), axis=1)
    units = to_millionths(p)
    assert units.dtype == np.int64
    assert (units.sum(axis=1) == 1_000_000).all()
    assert (units >= 0).all()
    assert np.abs(units - p * 1e6).max() < 1


def test_millionths_go_to_the_largest_remainders_then_to_the_earlier_class():
    p = np.array([[1 / 3, 1 / 3, 1 / 3], [0.2, 0.3, 0.5], [0, 0, 1], [1e-6 / 4, 3e-6 / 4, 1 - 1e-6], [1, 1, 2]])
    expected = [
        [333334, 333333, 333333],
        [200000, 300000, 500000],
        [0, 0, 10**6],
        [0, 1, 999999],
        [250000] * 2 + [500000],
    ]
    assert to_millionths(p).tolist() == expected


def test_millionths_refuse_rows_without_probabilities():
    with pytest.raises(AssertionError, match="filled or left out"):
        to_millionths(np.array([[0.5, 0.5, np.nan]]))


def test_blend_is_the_weighted_mean():
    a, b = np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 0.5, 0.5]])
    np.testing.assert_allclose(blend([a, b], [0.6, 0.4]), [[0.6, 0.2, 0.2]])
    np.testing.assert_array_equal(a, [[1.0, 0.0, 0.0]])
