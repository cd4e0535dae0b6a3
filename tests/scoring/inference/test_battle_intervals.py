import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from lib.scoring.inference.battle_intervals import (
    SCORES,
    BiasClusters,
    ScoreClusters,
    kappa_estimate,
    row_sums,
    score_estimate,
    score_of,
)
from lib.scoring.inference.estimates import row_keys
from lib.scoring.metrics import accuracy, brier, log_loss, normalise, verdicts
from tests.scoring.inference.drawing import population

DRAWS, QUESTIONS = 1500, 60


@pytest.fixture(scope="module")
def people():
    return population()


def covered(intervals, truth):
    return np.mean([low <= truth <= high for low, high in intervals])


def test_scores_are_those_of_metrics_and_of_sklearn(people):
    p, labels = people.probabilities, people.labels
    total = row_sums(p, labels).sum(axis=0)
    said = verdicts(normalise(p)).argmax(axis=1)
    wanted = (log_loss(p, labels), accuracy(p, labels), brier(p, labels), cohen_kappa_score(labels, said))
    assert [score_of(name, total) for name in SCORES] == pytest.approx(wanted)


def test_intervals_by_question_hold_the_truth_in_95_of_100(people):
    """1,500 draws of 60 questions: two standard errors are 1.1 %. As if rows were independent, it is less."""
    rows = row_sums(people.probabilities, people.labels)
    total, by_question = rows.sum(axis=0), np.array([rows[places].sum(axis=0) for places in people.rows])
    rng = np.random.default_rng(4)
    found, by_row = {name: [] for name in SCORES}, []
    for draw in range(DRAWS):
        drawn = rng.integers(0, len(by_question), QUESTIONS)
        for name in SCORES:
            one = score_estimate(name, by_question[drawn])
            found[name].append((one.low, one.high))
        if draw < 300:
            one = score_estimate("log_loss", rows[np.concatenate([people.rows[q] for q in drawn])])
            by_row.append((one.low, one.high))
    for name in SCORES:
        assert 0.93 <= covered(found[name], score_of(name, total)) <= 0.97, name
    assert covered(by_row, score_of("log_loss", total)) < 0.92


def test_intervals_of_position_bias_hold_the_truth_in_95_of_100(people):
    first = ((people.ab[:, 0] - people.ab[:, 1]) + (people.ba[:, 1] - people.ba[:, 0])).mean() / 2
    changed = (people.ab.argmax(axis=1) != people.ba.argmax(axis=1)).mean()
    rng = np.random.default_rng(5)
    found = {"first_minus_second": [], "changed": []}
    for _ in range(600):
        places, question = people.draw(QUESTIONS, rng)
        clusters = BiasClusters()
        clusters.add(question.astype(np.uint64), people.ab[places], people.ba[places])
        for name, one in clusters.estimates().items():
            found[name].append((one.low, one.high))
    assert 0.93 <= covered(found["first_minus_second"], first) <= 0.97
    assert 0.93 <= covered(found["changed"], changed) <= 0.97


def test_blocks_of_rows_are_summed_by_question(people):
    places, question = people.draw(30, np.random.default_rng(6))
    found = ScoreClusters()
    for part in np.array_split(np.arange(len(places)), 4):
        rows = places[part]
        found.add(question[part].astype(np.uint64), people.probabilities[rows], people.labels[rows])
    sums = row_sums(people.probabilities[places], people.labels[places])
    by_question = np.array([sums[question == q].sum(axis=0) for q in range(30)])
    for name, one in found.estimates().items():
        wanted = score_estimate(name, by_question)
        assert (one.value, one.low, one.high) == pytest.approx((wanted.value, wanted.low, wanted.high))


def test_rows_without_a_second_order_do_not_count():
    clusters, half = BiasClusters(), np.full((4, 3), 1 / 3)
    clusters.add(row_keys(0, 4), half, np.full((4, 3), np.nan))
    assert clusters.estimates() == {}


def test_verdicts_that_are_all_right_do_not_make_certain():
    found = ScoreClusters()
    labels = np.array([0, 1, 2, 0, 1, 2])
    found.add(row_keys(0, 6), np.eye(3)[labels] * 0.8 + 0.2 / 3, labels)
    one = found.estimates()
    least = 0.025 ** (1 / 6)
    assert (one["accuracy"].low, one["accuracy"].high) == pytest.approx((least, 1))
    assert (one["kappa"].low, one["kappa"].high) == pytest.approx(((least - 1 / 3) / (2 / 3), 1))


def test_kappa_without_a_value_has_no_interval():
    only_a = np.zeros((5, 9))
    only_a[:, 0] = 1
    assert np.isnan(kappa_estimate(only_a).value)
    found = ScoreClusters()
    found.add(row_keys(0, 5), np.tile([0.8, 0.1, 0.1], (5, 1)), np.zeros(5, int))
    assert "kappa" not in found.estimates()
    assert ScoreClusters().estimates() == {}
