import numpy as np
import pytest

from lib.scoring.ranking.outcomes import MODELS, RatingModel, probabilities
from tests.scoring.ranking.drawing import outcome_probabilities

Z = np.array([-40.0, -3.0, -0.2, 0.0, 1.0, 6.0, 40.0])
FITTED = list(MODELS)


@pytest.mark.parametrize("model", FITTED)
@pytest.mark.parametrize("tie", [0.05, 0.7, 3.0])
def test_probabilities_are_the_papers(model, tie):
    if model is RatingModel.bradley_terry:
        first = 1 / (1 + np.exp(-Z))
        wanted = np.stack([first, 1 / (1 + np.exp(Z)), np.zeros(len(Z))], axis=1)
    else:
        wanted = outcome_probabilities(model, Z, np.exp(tie))
    found = probabilities(model, Z, tie)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert probabilities(model, Z.reshape(7, 1), tie).shape == (7, 1, 3)


@pytest.mark.parametrize("model", FITTED)
def test_derivatives_are_those_of_the_value(model):
    curves, tie, h = MODELS[model].curves, 0.7, 1e-5
    here = curves(Z, tie)
    right, left, up, down = curves(Z + h, tie), curves(Z - h, tie), curves(Z, tie + h), curves(Z, tie - h)
    for found, wanted in [
        (here.z, (right.value - left.value) / (2 * h)),
        (here.t, (up.value - down.value) / (2 * h)),
        (here.zz, (right.z - left.z) / (2 * h)),
        (here.zt, (up.z - down.z) / (2 * h)),
        (here.tt, (up.t - down.t) / (2 * h)),
    ]:
        np.testing.assert_allclose(found, wanted, atol=1e-8)


@pytest.mark.parametrize("model", [RatingModel.davidson, RatingModel.rao_kupper])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_equal_systems_tie_as_often_as_is_said(model, share):
    assert probabilities(model, np.zeros(1), MODELS[model].tie_at(share))[0, 2] == pytest.approx(share)
