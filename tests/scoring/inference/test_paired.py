from itertools import product

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from lib.scoring.inference.battle_intervals import SCORES, row_sums
from lib.scoring.inference.estimates import Estimate, row_keys
from lib.scoring.inference.paired import (
    DRAWS,
    AgreementClusters,
    Difference,
    PairedClusters,
    difference_estimate,
    permutation_p,
)
from lib.scoring.metrics import log_loss
from tests.scoring.inference.drawing import population


@pytest.fixture(scope="module")
def people():
    return population()


def compared(first, second, labels, keys):
    clusters = PairedClusters()
    clusters.add(keys, first, second, labels)
    return clusters.differences(SCORES)


def rows(n, seed):
    rng = np.random.default_rng(seed)
    return rng.dirichlet([1, 1, 1], n), rng.dirichlet([1, 1, 1], n), rng.integers(0, 3, n)


def test_a_difference_of_independent_rows_is_the_paired_t_test():
    first, second, labels = rows(40, 0)
    found = compared(first, second, labels, row_keys(0, 40))["log_loss"]
    losses = [-np.log(p[np.arange(40), labels]) for p in (first, second)]
    test = stats.ttest_rel(*losses)
    assert found.difference.value == pytest.approx(log_loss(first, labels) - log_loss(second, labels))
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.p == pytest.approx(test.pvalue, abs=0.05)


def test_few_clusters_have_the_exact_p_of_all_exchanges():
    first, second, labels = rows(30, 1)
    question = np.arange(30) % 8
    found = compared(first, second, labels, question.astype(np.uint64))["log_loss"]
    losses = [-np.log(p[np.arange(30), labels]) for p in (first, second)]
    sums = np.bincount(question, losses[0] - losses[1])
    real = abs(sums.sum())
    extreme = [abs(np.dot(signs, sums)) >= real - 1e-12 for signs in product((1, -1), repeat=8)]
    assert found.p == np.mean(extreme)


def test_drawn_exchanges_give_scipys_p():
    first, second, labels = rows(200, 2)
    second = 0.8 * second + 0.2 * np.eye(3)[labels]
    first = 0.85 * first + 0.15 * np.eye(3)[labels]
    found = compared(first, second, labels, row_keys(0, 200))["brier"].p
    scores = [((p - np.eye(3)[labels]) ** 2).sum(axis=1) for p in (first, second)]
    exact = stats.permutation_test(
        (scores[0] - scores[1],), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(3)
    )
    assert 0.001 < found < 0.9
    assert found == pytest.approx(exact.pvalue, abs=0.015)


def test_kappas_are_compared_by_exchanging_answers_not_by_adding():
    first, second, labels = rows(9, 4)
    found = compared(first, second, labels, row_keys(0, 9))["kappa"].p
    said = [p.argmax(axis=1) for p in (first, second)]

    def difference(signs):
        one, other = (np.where(np.array(signs) > 0, a, b) for a, b in (said, said[::-1]))
        return cohen_kappa_score(labels, one) - cohen_kappa_score(labels, other)

    real = abs(difference([1] * 9))
    assert found == np.mean([abs(difference(signs)) >= real - 1e-9 for signs in product((1, -1), repeat=9)])


def test_no_p_is_zero_and_the_same_comes_out_again():
    labels = np.arange(300) % 3
    right, wrong = np.eye(3)[labels] * 0.9 + 0.1 / 3, np.full((300, 3), 1 / 3)
    found = compared(right, wrong, labels, row_keys(0, 300))
    assert found["log_loss"].p == 1 / (1 + DRAWS)
    assert found == compared(right, wrong, labels, row_keys(0, 300))
    assert found["log_loss"].shown
    same = compared(right, right, labels, row_keys(0, 300))["log_loss"]
    assert (same.difference, same.p, same.shown) == (Estimate(0, 0, 0, 0), 1, False)


@pytest.mark.parametrize(
    ("low", "high", "p", "shown"), [(0.1, 0.5, 0.01, True), (-0.1, 0.5, 0.01, False), (0.1, 0.5, 0.2, False)]
)
def test_a_difference_is_shown_where_interval_and_p_show_it(low, high, p, shown):
    side = Estimate(1.0)
    assert Difference(first=side, second=side, difference=Estimate(0.3, low, high), p=p).shown is shown


def test_one_question_shows_nothing():
    first, second, labels = rows(20, 5)
    found = compared(first, second, labels, np.ones(20, np.uint64))["log_loss"]
    assert (found.difference.low, found.p, found.shown) == (None, 1, False)


def test_a_score_without_a_value_is_left_out():
    p = np.tile([0.8, 0.1, 0.1], (6, 1))
    assert set(compared(p, p, np.zeros(6, int), row_keys(0, 6))) == {"log_loss", "accuracy", "brier"}


def test_intervals_of_differences_hold_the_truth_in_95_of_100(people):
    """600 draws of 60 questions, of two runs of which the other was asked in another order."""
    both = np.hstack([row_sums(people.ab, people.labels), row_sums(people.ba, people.labels)])
    truth = both.sum(axis=0)
    wanted = (truth[0] - truth[11]) / len(both)
    by_question = np.array([both[places].sum(axis=0) for places in people.rows])
    rng, held = np.random.default_rng(6), []
    for _ in range(600):
        interval = difference_estimate("log_loss", by_question[rng.integers(0, len(by_question), 60)])
        held.append(interval.low <= wanted <= interval.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_p_of_runs_that_are_alike_is_below_a_twentieth_in_one_of_twenty(people):
    """Runs that differ by noise only: of 400 draws of 10 questions a twentieth has p <= 0.05 (two errors: 2.2 %)."""
    rng = np.random.default_rng(7)
    few = 0
    for _ in range(400):
        places, question = people.draw(10, rng)
        noise = rng.dirichlet([3, 3, 3], (2, len(places)))
        one, other = (0.5 * people.probabilities[places] + 0.5 * part for part in noise)
        summed = [row_sums(p, people.labels[places]) for p in (one, other)]
        sums = [np.array([part[question == q].sum(axis=0) for q in range(10)]) for part in summed]
        few += permutation_p(*sums, ["log_loss"])["log_loss"] <= 0.05
    assert few / 400 == pytest.approx(0.05, abs=0.022)


def test_agreement_and_kappa_of_two_runs_are_sklearns():
    first, second, _ = rows(500, 8)
    clusters = AgreementClusters()
    for part in np.array_split(np.arange(500), 3):
        clusters.add(row_keys(int(part[0]), len(part)), first[part], second[part])
    said = [p.argmax(axis=1) for p in (first, second)]
    share = clusters.share()
    assert share.value == pytest.approx((said[0] == said[1]).mean())
    half = stats.t.ppf(0.975, 499) * (said[0] == said[1]).std(ddof=1) / np.sqrt(500)
    assert share.high - share.value == pytest.approx(half)
    assert clusters.kappa().value == pytest.approx(cohen_kappa_score(*said))
    assert len(clusters) == 500
