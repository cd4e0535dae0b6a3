import numpy as np
import pytest

from lib.errors import InputError
from lib.scoring.calibrating.base import Inputs
from lib.scoring.calibrating.davidson import Davidson, DavidsonLength
from lib.scoring.metrics import log_loss
from tests.scoring.calibrating.drawing import draw, rewards, softmax


def of(a, b, **more):
    return Inputs(score_a=np.asarray(a), score_b=np.asarray(b), **more)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
def test_it_recovers_known_parameters_in_any_unit_of_reward(unit):
    rng = np.random.default_rng(0)
    inputs = of(*rewards(40_000, rng, unit))
    truth = Davidson(scale=0.8 / unit, bias=-0.3, log_nu=-0.4)
    fit = Davidson.fit(inputs, draw(truth.apply(inputs), rng))
    assert fit.scale * unit == pytest.approx(0.8, abs=0.03)
    assert fit.bias == pytest.approx(-0.3, abs=0.05)
    assert fit.log_nu == pytest.approx(-0.4, abs=0.05)


def test_no_neighbour_of_the_fit_is_likelier():
    rng = np.random.default_rng(1)
    inputs = of(*rewards(500, rng))
    labels = draw(Davidson(scale=0.5, bias=0.2, log_nu=0.1).apply(inputs), rng)
    fit = Davidson.fit(inputs, labels)
    best = log_loss(fit.apply(inputs), labels)
    for name in ("scale", "bias", "log_nu"):
        for step in (-0.01, 0.01):
            moved = Davidson(**{**vars(fit), name: getattr(fit, name) + step})
            assert log_loss(moved.apply(inputs), labels) > best


def test_separable_rewards_stay_finite():
    inputs = of(np.r_[np.full(30, 2.0), np.full(30, -2.0)], np.zeros(60))
    fit = Davidson.fit(inputs, np.r_[np.zeros(30, dtype=int), np.ones(30, dtype=int)])
    assert np.isfinite(list(vars(fit).values())).all()
    assert fit.scale > 1
    assert fit.apply(inputs)[0, 0] > 0.99


def test_rewards_that_are_all_alike_teach_the_prior():
    fit = Davidson.fit(of(np.ones(100), np.ones(100)), np.array([0] * 30 + [1] * 20 + [2] * 50))
    assert fit.scale == 0
    np.testing.assert_allclose(fit.apply(of([1.0], [1.0])), [[0.3, 0.2, 0.5]], atol=1e-3)


def test_a_reward_that_points_the_wrong_way_gets_a_negative_scale():
    rng = np.random.default_rng(4)
    a, b = rewards(2_000, rng)
    labels = draw(Davidson(scale=1.0, bias=0.0, log_nu=0.0).apply(of(a, b)), rng)
    assert Davidson.fit(of(b, a), labels).scale < -0.8


def test_length_is_a_second_difference():
    rng = np.random.default_rng(8)
    (a, b), length = rewards(40_000, rng), rng.normal(0.3, 0.8, 40_000)
    z = 0.7 * (a - b) - 0.9 * length + 0.2
    p = softmax(np.stack([z / 2, -z / 2, np.full_like(z, 0.1)], axis=1))  # by hand
    labels = draw(p, rng)
    fit = DavidsonLength.fit(of(a, b, log_length=length), labels)
    assert (fit.scale, fit.length) == (pytest.approx(0.7, abs=0.03), pytest.approx(-0.9, abs=0.05))
    assert (fit.bias, fit.log_nu) == (pytest.approx(0.2, abs=0.06), pytest.approx(0.1, abs=0.05))
    np.testing.assert_allclose(fit.apply(of(a, b, log_length=length)), p, atol=0.03)
    blind = Davidson.fit(of(a, b), labels)
    assert log_loss(fit.apply(of(a, b, log_length=length)), labels) < log_loss(blind.apply(of(a, b)), labels) - 0.02


def test_rows_that_cannot_be_fitted_are_refused():
    good, labels = np.ones(30), np.zeros(30, dtype=int)
    with pytest.raises(InputError, match=r"row 7: score_a is not finite"):
        Davidson.fit(of(np.where(np.arange(30) == 7, np.nan, 1.0), good), labels)
    with pytest.raises(InputError, match=r"row 0: the reward difference is not finite"):
        Davidson.fit(of(good * 1.7e308, -good * 1.7e308), labels)
    with pytest.raises(InputError, match="19 labelled rows: fitting needs at least 20"):
        Davidson.fit(of(good[:19], good[:19]), labels[:19])
