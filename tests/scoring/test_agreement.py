"""Agreement of annotators: published tables, and sklearn."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from lib.scoring.agreement import (
    Scale,
    Weights,
    cohen,
    coincidences,
    fleiss,
    fleiss_rows,
    krippendorff,
    paired_rows,
)
from lib.scoring.inference.estimates import estimate

# Fleiss 1971, table 1: 30 patients, 6 psychiatrists; depression, personality disorder, schizophrenia, neurosis, other.
FLEISS = np.array([
    [0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6], [0, 3, 0, 3, 0], [2, 0, 4, 0, 0],
    [0, 0, 4, 0, 2], [2, 0, 3, 1, 0], [2, 0, 0, 4, 0], [0, 0, 0, 0, 6], [1, 0, 0, 5, 0], [1, 1, 0, 4, 0],
    [0, 3, 3, 0, 0], [1, 0, 0, 5, 0], [0, 2, 0, 3, 1], [0, 0, 5, 0, 1], [3, 0, 0, 1, 2], [5, 1, 0, 0, 0],
    [0, 2, 0, 4, 0], [1, 0, 2, 0, 3], [0, 0, 0, 0, 6], [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0],
    [1, 0, 0, 4, 1], [0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0], [1, 0, 5, 0, 0], [0, 0, 0, 0, 6],
], float)  # fmt: skip

# Krippendorff 2011, section C: 4 observers, 12 units, values 1 to 5, some missing (0).
KRIPPENDORFF = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
])  # fmt: skip


def by_category(ratings, k):
    return np.array([[(unit == value).sum() for value in range(1, k + 1)] for unit in ratings.T], float)


def test_fleisss_own_table():
    assert FLEISS.sum(axis=0).tolist() == [26, 26, 30, 55, 43]
    assert float(fleiss(fleiss_rows(FLEISS).sum(axis=0))) == pytest.approx(0.430, abs=5e-4)


@pytest.mark.parametrize(("scale", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_own_example(scale, published):
    counts = by_category(KRIPPENDORFF, 5)
    pairable = counts[counts.sum(axis=1) > 1]
    assert pairable.sum() == 40
    alpha = krippendorff(np.arange(1, 6.0), Scale(scale))
    assert float(alpha(coincidences(pairable).sum(axis=0))) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("weights", Weights)
def test_kappas_of_two_are_sklearns(weights):
    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, 300)
    second = np.where(rng.random(300) < 0.5, first, rng.integers(0, 4, 300))
    found = cohen(4, weights)(paired_rows(first, second, 4).sum(axis=0))
    wanted = cohen_kappa_score(first, second, weights=None if weights is Weights.none else weights.value)
    assert float(found) == pytest.approx(wanted)


def test_alpha_of_many_ratings_of_two_is_near_scotts_pi_and_fleiss():
    """Two raters without gaps: alpha is Scott's pi but for a correction by the number of ratings (2n)."""
    rng = np.random.default_rng(1)
    first = rng.integers(0, 3, 400)
    second = np.where(rng.random(400) < 0.4, first, rng.integers(0, 3, 400))
    counts = np.eye(3)[first] + np.eye(3)[second]
    pi = float(fleiss(fleiss_rows(counts).sum(axis=0)))
    alpha = float(krippendorff(np.arange(3.0), Scale.nominal)(coincidences(counts).sum(axis=0)))
    assert alpha == pytest.approx(1 - (1 - pi) * (800 - 1) / 800)


def test_where_all_say_the_same_there_is_no_figure():
    same = np.tile([3.0, 0, 0], (5, 1))
    assert np.isnan(fleiss(fleiss_rows(same).sum(axis=0)))
    assert np.isnan(krippendorff(np.arange(3.0), Scale.ordinal)(coincidences(same).sum(axis=0)))
    assert np.isnan(cohen(3)(paired_rows(np.zeros(5, int), np.zeros(5, int), 3).sum(axis=0)))


def test_full_agreement_is_one_and_opposites_are_below_zero():
    counts = np.array([[3.0, 0], [0, 3], [3, 0]])
    assert float(fleiss(fleiss_rows(counts).sum(axis=0))) == 1
    assert float(krippendorff(np.arange(2.0), Scale.interval)(coincidences(counts).sum(axis=0))) == 1
    against = paired_rows(np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0]), 2)
    assert float(cohen(2)(against.sum(axis=0))) == -1


@pytest.mark.parametrize("figure", ["alpha", "fleiss", "cohen"])
def test_intervals_hold_the_truth_in_95_of_100(figure):
    """600 draws of 60 items from 5,000 with 3 ratings each, of which the figure is known."""
    rng = np.random.default_rng(2)
    truth, easy = rng.integers(0, 3, 5_000), rng.uniform(0.3, 0.9, 5_000)
    right = rng.random((5_000, 3)) < easy[:, None]
    ratings = np.where(right, truth[:, None], rng.integers(0, 3, (5_000, 3)))
    counts = np.eye(3)[ratings].sum(axis=1)
    rows, of = {
        "alpha": (coincidences(counts), krippendorff(np.array([-1.0, 0, 1]), Scale.ordinal)),
        "fleiss": (fleiss_rows(counts), fleiss),
        "cohen": (paired_rows(ratings[:, 0], ratings[:, 1], 3), cohen(3, Weights.quadratic)),
    }[figure]
    wanted, held = float(of(rows.sum(axis=0))), []
    for _ in range(600):
        found = estimate(of, rows[rng.integers(0, 5_000, 60)])
        held.append(found.low <= wanted <= found.high)
    assert 0.93 <= np.mean(held) <= 0.97
