import numpy as np
import pytest
from scipy.optimize import check_grad

from lib.scoring.calibrating.softmax_regression import maximise, penalised_loss


@pytest.mark.parametrize("o", [1, 2])
def test_gradient_is_that_of_the_loss(o):
    rng = np.random.default_rng(2)
    args = (rng.normal(size=(50, o, 3, 3)), rng.integers(0, 3, 50), rng.normal(size=3), 0.7)
    for point in rng.normal(size=(5, 3)):
        error = check_grad(lambda x: penalised_loss(x, *args)[0], lambda x: penalised_loss(x, *args)[1], point)
        assert error < 1e-6


@pytest.mark.parametrize("o", [1, 2])
def test_the_loss_is_that_of_the_mean_of_softmaxes(o):
    rng = np.random.default_rng(7)
    features, labels, point = rng.normal(size=(20, o, 3, 2)), rng.integers(0, 3, 20), rng.normal(size=2)
    logits = np.exp(features @ point)
    p = (logits / logits.sum(axis=2, keepdims=True)).mean(axis=1)
    expected = -np.log(p[np.arange(20), labels]).mean() + 0.5 * (point**2).sum() / 20
    assert penalised_loss(point, features, labels, np.zeros(2), 0.5)[0] == pytest.approx(expected, abs=1e-12)


def test_the_gradient_vanishes_at_the_fit():
    rng = np.random.default_rng(3)
    features, labels = rng.normal(size=(300, 1, 3, 2)), rng.integers(0, 3, 300)
    near = maximise(features, labels, centre=np.zeros(2), ridge=1e-3)
    gradient = penalised_loss(near, features, labels, np.zeros(2), 1e-3)[1]
    assert np.abs(gradient).max() < 1e-6
