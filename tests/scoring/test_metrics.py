import json

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy.special import softmax

from lib.scoring import metrics
from lib.scoring.battle_sums import BattleSums, BiasSums
from lib.scoring.probabilities import swap_ab, to_millionths
from tests.scoring import oof


@pytest.fixture
def simulated():
    rng = np.random.default_rng(3)
    p = softmax(rng.normal(0, 1.5, (2_000, 3)), axis=1)
    return p, (rng.random((2_000, 1)) > p.cumsum(axis=1)).sum(axis=1)


def calibration_error(p, labels):
    return metrics.calibration_error(metrics.reliability(p, labels))


def metrics_of(p, labels):
    sums = BattleSums()
    sums.add(p, labels)
    return sums.metrics().to_dict()


def bias_of(ab, ba):
    sums = BiasSums()
    sums.add(ab, ba)
    return sums.bias()


def check_against_sklearn(p, labels):
    normal = p / p.sum(axis=1, keepdims=True)
    verdict = p.argmax(axis=1)
    assert metrics.log_loss(p, labels) == pytest.approx(sk.log_loss(labels, normal, labels=[0, 1, 2]), rel=1e-12)
    assert metrics.accuracy(p, labels) == pytest.approx(sk.accuracy_score(labels, verdict), rel=1e-12)
    one_hot = np.eye(3)[labels]
    assert metrics.brier(p, labels) == pytest.approx(((normal - one_hot) ** 2).sum(axis=1).mean(), rel=1e-12)
    matrix = metrics.confusion(p, labels)
    np.testing.assert_allclose(matrix, sk.confusion_matrix(labels, verdict, labels=[0, 1, 2]))
    assert metrics.cohen_kappa(matrix) == pytest.approx(sk.cohen_kappa_score(labels, verdict), rel=1e-12)


def test_metrics_agree_with_sklearn(simulated):
    check_against_sklearn(*simulated)


def test_real_predictions_have_their_published_scores():
    p, labels = oof.read()
    assert metrics.log_loss(p, labels) == pytest.approx(0.948844, abs=2e-5)  # published before rounding to 4 digits
    assert metrics.accuracy(p, labels) == pytest.approx(0.5447, abs=5e-5)
    decided = np.diff(np.sort(p, axis=1)[:, 1:]).ravel() > 0  # sklearn's argmax prefers A among equals, we don't
    assert 0 < (~decided).sum() < 50
    check_against_sklearn(p[decided], labels[decided])


def test_rows_are_normalised_first(simulated):
    p, labels = simulated
    assert metrics.log_loss(p * 7, labels) == pytest.approx(metrics.log_loss(p, labels), rel=1e-12)
    assert metrics.brier(p * 7, labels) == pytest.approx(metrics.brier(p, labels), rel=1e-12)


def test_certain_and_wrong_costs_as_much_as_in_sklearn():
    p, labels = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), np.array([1, 1])
    assert metrics.log_loss(p, labels) == pytest.approx(sk.log_loss(labels, p, labels=[0, 1, 2]))
    assert metrics.log_loss(p[:1], labels[:1]) == pytest.approx(-np.log(np.finfo(np.float64).eps))


def test_calibration_error_by_hand():
    # Two rows at confidence 0.6 (one right), one at 0.9 (right): 2/3 * |0.6 - 0.5| + 1/3 * |0.9 - 1|
    p = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.05, 0.05, 0.9]])
    assert calibration_error(p, np.array([0, 0, 2])) == pytest.approx(0.1)


def test_bins_are_closed_above():
    r = metrics.reliability(np.array([[0.4, 0.35, 0.25], [0.4001, 0.35, 0.2499], [1, 0, 0]]), np.array([0, 0, 0]))
    assert np.flatnonzero(r.count).tolist() == [5, 6, 14]


def test_calibration_error_tells_honest_from_overconfident(simulated):
    p, labels = simulated
    assert calibration_error(p, labels) < 0.04
    assert calibration_error(p**4, labels) > 0.15


def test_tied_verdicts_are_shared():
    p, labels = np.array([[0.4, 0.4, 0.2], [0.2, 0.2, 0.6]]), np.array([1, 1])
    assert metrics.accuracy(p, labels) == 0.25
    assert metrics.confusion(p, labels).tolist() == [[0, 0, 0], [0.5, 0.5, 1], [0, 0, 0]]


def test_the_uniform_prior_scores_the_same_in_a_run_and_in_its_submission():
    p, labels = np.full((10, 3), 1 / 3), np.array([0] * 8 + [1, 2])
    rounded = to_millionths(p) / 1e6
    for rows in (p, rounded):
        assert metrics.accuracy(rows, labels) == pytest.approx(1 / 3)
        assert metrics.cohen_kappa(metrics.confusion(rows, labels)) == pytest.approx(0, abs=1e-12)


def test_kappa_is_undefined_where_chance_agrees_always():
    matrix = metrics.confusion(np.array([[0.8, 0.1, 0.1]] * 4), np.zeros(4, dtype=int))
    assert np.isnan(metrics.cohen_kappa(matrix))
    assert metrics_of(np.array([[0.8, 0.1, 0.1]] * 4), np.zeros(4, dtype=int))["kappa"] is None


def test_battle_metrics_measure_scored_and_labelled_rows_only(simulated):
    p, labels = (values[:200].copy() for values in simulated)
    p[10:20], labels[15:50] = np.nan, -1
    measured = np.r_[0:10, 50:200]
    out = metrics_of(p, labels)
    assert (out["rows"], out["failed"], out["labelled"], out["measured"]) == (200, 10, 165, 160)
    assert out["coverage"] == 0.95
    assert out["log_loss"] == metrics.log_loss(p[measured], labels[measured])
    assert out["uniform"]["log_loss"] == pytest.approx(np.log(3))
    assert out["uniform"]["brier"] == pytest.approx(2 / 3)
    assert out["uniform"]["ece"] == pytest.approx(0, abs=1e-12)
    assert set(out["uniform"]) == {"log_loss", "accuracy", "brier", "ece", "kappa", "coverage", "rows", "failed"}
    filled = np.where(np.isnan(p), 1 / 3, p)
    assert out["log_loss_with_fallback"] == pytest.approx(metrics.log_loss(filled[labels >= 0], labels[labels >= 0]))
    np.testing.assert_allclose(out["confusion"], metrics.confusion(p[measured], labels[measured]))


@pytest.mark.parametrize(
    ("p", "labels"),
    [
        (np.full((4, 3), 0.3), np.full(4, -1)),  # no labels
        (np.full((4, 3), np.nan), np.zeros(4, dtype=int)),  # nothing scored
        (np.empty((0, 3)), np.empty(0, dtype=int)),  # no rows
    ],
)
def test_nothing_to_measure_is_null_not_a_number(p, labels):
    out = metrics_of(p, labels)
    for key in ("log_loss", "accuracy", "brier", "ece", "kappa"):
        assert out[key] is None
        assert out["uniform"][key] is None
    assert out["confusion"] is None
    assert out["coverage"] == (None if not len(p) else float(not np.isnan(p).any()))
    json.dumps(out, allow_nan=False)


def test_a_judge_that_always_picks_the_first_is_seen():
    first = np.tile([0.7, 0.2, 0.1], (50, 1))
    bias = bias_of(first, swap_ab(first))
    assert bias.changed == 1
    assert bias.first_minus_second == pytest.approx(0.5)
    assert bias.tie_rate_ab == bias.tie_rate_ba == 0


def test_a_judge_that_heeds_the_content_has_no_bias(simulated):
    p = simulated[0].copy()
    p[0] = np.nan
    p[1] = 1 / 3  # whatever is on top in both orders is no change
    bias = bias_of(p, p)
    assert (bias.rows, bias.changed) == (1999, 0)
    assert bias.first_minus_second == pytest.approx(0, abs=1e-12)
    assert bias.tie_rate_ab == bias.tie_rate_ba > 0.2


def test_position_bias_needs_both_orders():
    p = np.full((3, 3), 1 / 3)
    assert bias_of(p, np.full((3, 3), np.nan)) is None
