import numpy as np
import pytest
from scipy.optimize import minimize

from lib.errors import InputError
from lib.scoring.calibrating.base import Inputs
from lib.scoring.calibrating.choosing import held_out_loss
from lib.scoring.calibrating.temperature import OrderBias, Temperature, TemperatureTie
from lib.scoring.metrics import log_loss
from tests.scoring import oof
from tests.scoring.calibrating.drawing import draw, softmax


def of(p):
    return Inputs(probabilities=p)


def test_it_recovers_what_was_done_to_the_probabilities():
    rng = np.random.default_rng(5)
    honest = rng.dirichlet([2, 2, 1.5], 40_000)
    labels = draw(honest, rng)
    distorted = honest**2.5 * np.exp([0.0, 0.0, 2.5 * 0.6])  # undone by T = 2.5, offset -0.6
    distorted /= distorted.sum(axis=1, keepdims=True)
    fit = TemperatureTie.fit(of(distorted), labels)
    assert fit.temperature == pytest.approx(2.5, abs=0.06)
    assert fit.tie_offset == pytest.approx(-0.6, abs=0.04)
    np.testing.assert_allclose(fit.apply(of(distorted)), honest, atol=0.03)


def test_temperature_alone_is_the_best_power_of_the_probabilities():
    rng = np.random.default_rng(9)
    p = rng.dirichlet([1, 1, 1], 500)
    labels = draw(softmax(0.4 * np.log(p)), rng)
    found = minimize(lambda t: log_loss(softmax(np.log(p) / t), labels), 1.0, method="Nelder-Mead")
    assert Temperature.fit(of(p), labels).temperature == pytest.approx(found.x[0], abs=1e-3)


def test_no_change_leaves_probabilities_alone():
    p = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [np.nan] * 3])
    for same in (Temperature(temperature=1.0), TemperatureTie(temperature=1.0, tie_offset=0.0)):
        np.testing.assert_allclose(same.apply(of(p)), p, atol=1e-15)
    plain = OrderBias(temperature=1.0, tie_offset=0.0, bias_ab=0.0, bias_ba=0.0)
    np.testing.assert_allclose(plain.apply(Inputs(ab=p, ba=p[:, [1, 0, 2]])), (p + p[:, [1, 0, 2]]) / 2, atol=1e-15)


def test_probabilities_that_say_the_contrary_are_flattened_not_inverted():
    rng = np.random.default_rng(6)
    p = rng.dirichlet([1, 1, 1], 2_000)
    fit = TemperatureTie.fit(of(p[:, [1, 0, 2]]), draw(p, rng))
    assert 5 < fit.temperature <= 1000


def test_real_predictions_gain_little_and_never_on_paper_only():
    p, labels = oof.read()
    raw = log_loss(p, labels)
    fit = TemperatureTie.fit(of(p), labels)
    fitted = log_loss(fit.apply(of(p)), labels)
    held_out = held_out_loss(TemperatureTie, of(p), labels)
    assert fitted < held_out < raw  # a well calibrated model: 0.9488 -> 0.9486
    assert held_out - fitted < 1e-3
    assert fit.temperature == pytest.approx(1, abs=0.1)
    sharpened = log_loss(TemperatureTie.fit(of(p**3), labels).apply(of(p**3)), labels)
    assert sharpened == pytest.approx(fitted, abs=1e-5)


def position_biased(rng, n=20_000):
    """Both orders of a judge who favours what is shown first, by e^0.8 where that is A and e^0.3 where it is B."""
    logits = rng.normal(0, 2, (n, 3))
    ab, ba = (softmax(1.5 * (logits + rng.normal(0, 0.5, (n, 3)) + bias)) for bias in ([0.8, 0, 0], [0, 0.3, 0]))
    truth = (softmax(np.log(ab) / 1.5 - [0.8, 0, 0]) + softmax(np.log(ba) / 1.5 - [0, 0.3, 0])) / 2  # by hand
    return truth, Inputs(ab=ab, ba=ba, probabilities=(ab + ba) / 2)


def test_the_bias_of_each_order_is_found_and_taken_out():
    rng = np.random.default_rng(10)
    truth, inputs = position_biased(rng)
    labels = draw(truth, rng)
    fit = OrderBias.fit(inputs, labels)
    assert fit.temperature == pytest.approx(1.5, abs=0.1)
    assert (fit.bias_ab, fit.bias_ba) == (pytest.approx(-0.8, abs=0.2), pytest.approx(-0.3, abs=0.2))
    assert fit.bias_ab - fit.bias_ba == pytest.approx(-0.5, abs=0.1)
    assert fit.tie_offset == pytest.approx(0, abs=0.06)
    np.testing.assert_allclose(fit.apply(inputs), truth, atol=0.05)
    without = TemperatureTie.fit(inputs, labels)
    assert log_loss(fit.apply(inputs), labels) < log_loss(without.apply(inputs), labels) - 0.002


def test_no_neighbour_of_the_fit_of_orders_is_likelier():
    rng = np.random.default_rng(11)
    truth, inputs = position_biased(rng, 400)
    labels = draw(truth, rng)
    fit = OrderBias.fit(inputs, labels)
    best = log_loss(fit.apply(inputs), labels)
    for name in OrderBias.shapes:
        for step in (-0.02, 0.02):
            assert log_loss(OrderBias(**{**vars(fit), name: getattr(fit, name) + step}).apply(inputs), labels) > best


def test_rows_that_cannot_be_fitted_are_refused():
    with pytest.raises(InputError, match=r"row 0: probabilities is not finite"):
        TemperatureTie.fit(of(np.full((30, 3), np.inf)), np.zeros(30, dtype=int))


def test_what_is_lacking_is_named():
    p = np.full((3, 3), 1 / 3)
    assert OrderBias.lacking(of(p)) == ["ab", "ba"]
    assert OrderBias.lacking(Inputs(ab=p, ba=np.full((3, 3), np.nan))) == ["ba"]  # one order was asked
    assert TemperatureTie.lacking(of(p)) == []
