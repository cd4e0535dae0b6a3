import numpy as np
import pytest
from scipy.optimize import check_grad

from lib.errors import InputError
from lib.scoring import calibration
from lib.scoring.calibration import (
    DavidsonParameters,
    TemperatureParameters,
    apply_davidson,
    apply_temperature,
    cross_validated_log_loss,
    fit_davidson,
    fit_temperature,
)
from lib.scoring.metrics import log_loss
from tests.scoring import oof


def draw(p, rng):
    return (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=2)


def rewards(n, rng, scale=1.0):
    return rng.normal(5, 2, n) * scale, rng.normal(4, 2, n) * scale


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
def test_davidson_recovers_known_parameters_in_any_unit_of_reward(unit):
    rng = np.random.default_rng(0)
    a, b = rewards(40_000, rng, unit)
    truth = DavidsonParameters(scale=0.8 / unit, bias=-0.3, log_nu=-0.4)
    fit = fit_davidson(a, b, draw(apply_davidson(truth, a, b), rng))
    assert fit.scale * unit == pytest.approx(0.8, abs=0.03)
    assert fit.bias == pytest.approx(-0.3, abs=0.05)
    assert fit.log_nu == pytest.approx(-0.4, abs=0.05)


def test_no_neighbour_of_the_fit_is_likelier():
    rng = np.random.default_rng(1)
    a, b = rewards(500, rng)
    labels = draw(apply_davidson(DavidsonParameters(scale=0.5, bias=0.2, log_nu=0.1), a, b), rng)
    fit = fit_davidson(a, b, labels)
    best = log_loss(apply_davidson(fit, a, b), labels)
    for name in ("scale", "bias", "log_nu"):
        for step in (-0.01, 0.01):
            moved = DavidsonParameters(**{**vars(fit), name: getattr(fit, name) + step})
            assert log_loss(apply_davidson(moved, a, b), labels) > best


def test_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(2)
    args = (rng.normal(size=(50, 3, 3)), rng.integers(0, 3, 50), rng.normal(size=3))
    for point in rng.normal(size=(5, 3)):
        error = check_grad(
            lambda x: calibration.penalised_loss(x, *args)[0], lambda x: calibration.penalised_loss(x, *args)[1], point
        )
        assert error < 1e-6


def test_the_gradient_vanishes_at_the_fit():
    rng = np.random.default_rng(3)
    features, labels = rng.normal(size=(300, 3, 2)), rng.integers(0, 3, 300)
    near = calibration._maximise(features, labels, centre=np.zeros(2), least=-np.inf)
    gradient = calibration.penalised_loss(near, features, labels, np.zeros(2))[1]
    assert np.abs(gradient).max() < 1e-6


def test_separable_rewards_stay_finite():
    a, b = np.r_[np.full(30, 2.0), np.full(30, -2.0)], np.zeros(60)
    fit = fit_davidson(a, b, np.r_[np.zeros(30, dtype=int), np.ones(30, dtype=int)])
    assert np.isfinite(list(vars(fit).values())).all()
    assert fit.scale > 1
    assert apply_davidson(fit, a, b)[0, 0] > 0.99


def test_rewards_that_are_all_alike_teach_the_prior():
    labels = np.array([0] * 30 + [1] * 20 + [2] * 50)
    fit = fit_davidson(np.ones(100), np.ones(100), labels)
    assert fit.scale == 0
    np.testing.assert_allclose(apply_davidson(fit, [1.0], [1.0]), [[0.3, 0.2, 0.5]], atol=1e-3)


def test_a_reward_that_points_the_wrong_way_gets_a_negative_scale():
    rng = np.random.default_rng(4)
    a, b = rewards(2_000, rng)
    labels = draw(apply_davidson(DavidsonParameters(scale=1.0, bias=0.0, log_nu=0.0), a, b), rng)
    assert fit_davidson(b, a, labels).scale < -0.8


def test_temperature_recovers_what_was_done_to_the_probabilities():
    rng = np.random.default_rng(5)
    honest = rng.dirichlet([2, 2, 1.5], 40_000)
    labels = draw(honest, rng)
    distorted = honest**2.5 * np.exp([0.0, 0.0, 2.5 * 0.6])  # undone by T = 2.5, offset -0.6
    distorted /= distorted.sum(axis=1, keepdims=True)
    fit = fit_temperature(distorted, labels)
    assert fit.temperature == pytest.approx(2.5, abs=0.06)
    assert fit.tie_offset == pytest.approx(-0.6, abs=0.04)
    np.testing.assert_allclose(apply_temperature(fit, distorted), honest, atol=0.03)


def test_no_change_leaves_probabilities_alone():
    p = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [np.nan] * 3])
    out = apply_temperature(TemperatureParameters(temperature=1.0, tie_offset=0.0), p)
    np.testing.assert_allclose(out, p, atol=1e-15)


def test_probabilities_that_say_the_contrary_are_flattened_not_inverted():
    rng = np.random.default_rng(6)
    p = rng.dirichlet([1, 1, 1], 2_000)
    fit = fit_temperature(p[:, [1, 0, 2]], draw(p, rng))
    assert 5 < fit.temperature <= 1000


def test_real_predictions_gain_little_and_never_on_paper_only():
    p, labels = oof.read()
    raw = log_loss(p, labels)
    fit = fit_temperature(p, labels)
    fitted = log_loss(apply_temperature(fit, p), labels)
    held_out = cross_validated_log_loss(fit_temperature, apply_temperature, (p,), labels)
    assert fitted < held_out < raw  # a well calibrated model: 0.9488 -> 0.9486
    assert held_out - fitted < 1e-3
    assert fit.temperature == pytest.approx(1, abs=0.1)
    sharpened = log_loss(apply_temperature(fit_temperature(p**3, labels), p**3), labels)
    assert sharpened == pytest.approx(fitted, abs=1e-5)


def test_folds_are_every_fifth_row_and_never_see_themselves():
    labels = np.array([0, 1, 2] * 10)
    number = np.arange(30.0)
    seen = []

    def fit(rows, fitted_labels):
        assert (labels[rows.astype(int)] == fitted_labels).all()
        return set(rows)

    def apply(trained_on, rows):
        assert not trained_on & set(rows)
        assert len(trained_on) + len(rows) == 30
        seen.append(rows.tolist())
        return np.eye(3)[labels[rows.astype(int)]]

    assert cross_validated_log_loss(fit, apply, (number,), labels) == pytest.approx(0)
    assert seen == [number[k::5].tolist() for k in range(5)]


def test_rows_that_cannot_be_fitted_are_refused():
    good, labels = np.ones(30), np.zeros(30, dtype=int)
    with pytest.raises(InputError, match=r"row 7: .*not finite"):
        fit_davidson(np.where(np.arange(30) == 7, np.nan, 1.0), good, labels)
    with pytest.raises(InputError, match=r"row 0: .*not finite"):
        fit_temperature(np.full((30, 3), np.inf), labels)
    with pytest.raises(InputError, match="19 labelled rows: fitting needs at least 20"):
        fit_davidson(good[:19], good[:19], labels[:19])
