import json

import numpy as np
import pytest

from lib.scoring.calibrating.base import Inputs
from lib.scoring.calibrating.choosing import METHODS
from lib.scoring.calibrating.davidson import Davidson
from lib.scoring.calibrating.scaling import MatrixScaling, Stack

N = 60
RNG = np.random.default_rng(0)


def thirds():
    return RNG.dirichlet([1, 1, 1], N)


EVERYTHING = Inputs(
    probabilities=thirds(), ab=thirds(), ba=thirds(), score_a=RNG.normal(size=N), score_b=RNG.normal(size=N),
    log_length=RNG.normal(size=N), members=np.stack([thirds(), thirds()], axis=1),
)  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_parameters_come_back_from_json(method):
    fit = method.fit(EVERYTHING, RNG.integers(0, 3, N))
    back = method.of(json.loads(json.dumps(fit.parameters(), allow_nan=False)))
    np.testing.assert_array_equal(back.apply(EVERYTHING), fit.apply(EVERYTHING))
    np.testing.assert_allclose(fit.apply(EVERYTHING).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("method", "parameters", "why"),
    [
        (Davidson, {"scale": 1.0, "bias": 0.0}, "parameters: must be scale, bias, log_nu"),
        (Davidson, {"scale": 1.0, "bias": 0.0, "log_nu": 0.0, "x": 1}, "parameters: must be scale, bias, log_nu"),
        (Davidson, None, "parameters: must be"),
        (Davidson, {"scale": float("nan"), "bias": 0.0, "log_nu": 0.0}, "parameters.scale: must be finite"),
        (Davidson, {"scale": "1", "bias": 0.0, "log_nu": 0.0}, "parameters.scale: must be finite"),
        (Davidson, {"scale": True, "bias": 0.0, "log_nu": 0.0}, "parameters.scale: must be finite"),
        (Davidson, {"scale": [1.0], "bias": 0.0, "log_nu": 0.0}, "parameters.scale: must be a number, is 1"),
        (Davidson, {"scale": 10**400, "bias": 0.0, "log_nu": 0.0}, "parameters.scale: must be finite"),
        (MatrixScaling, {"weights": [[1, 0, 0]] * 2, "biases": [0, 0, 0]}, "parameters.weights: must be 3 x 3, is 2"),
        (MatrixScaling, {"weights": [[1, 0], [1], [2]], "biases": [0, 0, 0]}, "parameters.weights: must be 3 x 3 of"),
        (MatrixScaling, {"weights": np.eye(3).tolist(), "biases": [0, 0, None]}, "parameters.biases: must be 3 of num"),
        (Stack, {"weights": [], "biases": [0, 0, 0]}, "parameters.weights: must be n x 3 x 3, is 0"),
    ],
)  # fmt: skip
def test_parameters_that_are_none_are_named(method, parameters, why):
    with pytest.raises(ValueError, match=why):
        method.of(parameters)


def test_rows_are_taken_of_all_that_is_known():
    some = EVERYTHING.take(np.arange(N) < 3)
    assert {name: len(values) for name, values in some.known.items()} == dict.fromkeys(EVERYTHING.known, 3)
    assert Inputs(score_a=np.ones(3)).take(slice(0, 1)).known.keys() == {"score_a"}
