import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from lib.scoring.blend_fit import fit_weights
from lib.scoring.metrics import log_loss
from tests.scoring.calibrating.drawing import draw, softmax


def members(rng, n, noises):
    logits = rng.normal(0, 1, (n, 3))
    runs = [softmax(logits + rng.normal(0, noise, logits.shape)) for noise in noises]
    return np.stack(runs, axis=1), draw(softmax(logits), rng)


def test_two_weights_are_those_of_a_line_search():
    found, labels = members(np.random.default_rng(0), 3_000, [0.5, 0.9])
    line = minimize_scalar(
        lambda w: log_loss(w * found[:, 0] + (1 - w) * found[:, 1], labels),
        bounds=(0, 1), method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    weights = fit_weights(found, labels)
    assert weights[0] == pytest.approx(line.x, abs=1e-5)
    assert weights.sum() == pytest.approx(1, abs=1e-12)


def test_no_blend_nearby_is_better():
    rng = np.random.default_rng(1)
    found, labels = members(rng, 500, [0.6, 0.7, 0.8, 5.0])
    weights = fit_weights(found, labels)
    best = log_loss(np.einsum("m,nmk->nk", weights, found), labels)
    assert (weights >= 0).all()
    for other in rng.dirichlet([1, 1, 1, 1], 200):
        for step in (1e-3, 1e-1, 1):
            moved = (1 - step) * weights + step * other
            assert log_loss(np.einsum("m,nmk->nk", moved, found), labels) > best - 1e-12


def test_a_member_that_is_worse_everywhere_has_no_weight():
    found, labels = members(np.random.default_rng(2), 1_000, [0.3])
    noise = np.full_like(found, 1 / 3)
    wrong = 0.5 * noise + 0.5 * np.roll(np.eye(3)[labels], 1, axis=1)[:, None]
    assert fit_weights(np.concatenate([found, wrong], axis=1), labels).tolist() == [1.0, 0.0]


def test_equal_members_and_impossible_labels():
    found, labels = members(np.random.default_rng(3), 300, [0.5])
    assert fit_weights(np.concatenate([found, found, found], axis=1), labels) == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert fit_weights(found, labels).tolist() == [1.0]
    hard = np.zeros_like(found)
    hard[:, :, 0] = 1  # never what two thirds of the labels say
    weights = fit_weights(np.concatenate([found, hard], axis=1), labels)
    assert weights[0] > 0.7
