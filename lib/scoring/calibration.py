"""Parameters fitted on labelled rows: Davidson for two rewards, temperature and tie offset for probabilities.

Both are softmax regressions whose logits are linear in the parameters, so that the likelihood has one maximum.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lib.errors import InputError
from lib.scoring.metrics import Labels, log_loss
from lib.scoring.probabilities import FloatArray, davidson

MINIMUM_ROWS = 20

# Added to the summed negative log-likelihood, times the squared distance from "no effect": a Gaussian prior with a
# standard deviation of 22. It keeps separable data finite and is lost in the noise of anything else.
_RIDGE = 1e-3

_LEAST_INVERSE_TEMPERATURE = 1e-3

Parameters = TypeVar("Parameters")


@dataclass(frozen=True, kw_only=True)
class DavidsonParameters:
    """Arguments of `probabilities.davidson`; scale is per unit of reward, bias and log_nu are log-odds."""

    scale: float
    bias: float
    log_nu: float


@dataclass(frozen=True, kw_only=True)
class TemperatureParameters:
    """P_i is proportional to p_i^(1/temperature), times e^tie_offset for the tie.

    temperature: above 1 softens; at most 1000, where the probabilities hardly count any more.
    """

    temperature: float
    tie_offset: float


def fit_davidson(score_a: FloatArray, score_b: FloatArray, labels: Labels) -> DavidsonParameters:
    """Maximum likelihood of labels [n] (0, 1, 2) given two rewards [n].

    Raises InputError for a reward that is not finite, or fewer than 20 rows.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        difference = np.asarray(score_a, dtype=np.float64) - np.asarray(score_b, dtype=np.float64)
    _check("the reward difference", difference, labels)
    # Standardised for the optimiser (and so that the ridge means the same for every reward model), then taken back.
    middle, spread = float(difference.mean()), float(difference.std()) or 1.0
    features = np.zeros((len(labels), 3, 3))
    features[:, 0, 0] = (difference - middle) / spread / 2
    features[:, 0, 1] = 0.5
    features[:, 1] = -features[:, 0]
    features[:, 2, 2] = 1
    slope, intercept, log_nu = _maximise(features, labels, centre=np.zeros(3), least=-np.inf)
    return DavidsonParameters(
        scale=float(slope / spread), bias=float(intercept - slope * middle / spread), log_nu=float(log_nu)
    )


def apply_davidson(parameters: DavidsonParameters, score_a: FloatArray, score_b: FloatArray) -> FloatArray:
    """Probabilities [n, 3] of rewards [n]."""
    return davidson(score_a, score_b, scale=parameters.scale, bias=parameters.bias, log_nu=parameters.log_nu)


def fit_temperature(probabilities: FloatArray, labels: Labels) -> TemperatureParameters:
    """Maximum likelihood of labels [n] given probabilities [n, 3] (Guo et al. 2017, with an offset for the tie).

    Raises InputError for a probability that is not finite, or fewer than 20 rows.
    """
    _check("a probability", probabilities, labels)
    features = np.zeros((len(labels), 3, 2))
    features[:, :, 0] = _safe_log(probabilities)
    features[:, 2, 1] = 1
    inverse, offset = _maximise(features, labels, centre=np.array([1.0, 0.0]), least=_LEAST_INVERSE_TEMPERATURE)
    return TemperatureParameters(temperature=float(1 / inverse), tie_offset=float(offset))


def apply_temperature(parameters: TemperatureParameters, probabilities: FloatArray) -> FloatArray:
    """Calibrated probabilities [n, 3]; NaN rows stay NaN."""
    logits = _safe_log(probabilities) / parameters.temperature + np.array([0.0, 0.0, parameters.tie_offset])
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)


def cross_validated_log_loss(
    fit: Callable[..., Parameters],
    apply: Callable[..., FloatArray],
    inputs: Sequence[FloatArray],
    labels: Labels,
    *,
    folds: int = 5,
) -> float:
    """Log loss of rows that the parameters were not fitted on.

    fit(*inputs, labels) gives parameters, apply(parameters, *inputs) gives [n, 3]; fold k is rows k::folds.
    """
    held_out = np.empty((len(labels), 3))
    for k in range(folds):
        test = np.arange(len(labels)) % folds == k
        parameters = fit(*(values[~test] for values in inputs), labels[~test])
        held_out[test] = apply(parameters, *(values[test] for values in inputs))
    return log_loss(held_out, labels)


def _maximise(features: FloatArray, labels: Labels, *, centre: FloatArray, least: float) -> FloatArray:
    """Parameters [m] of P(class k of row i) = softmax_k(features[i, k] @ parameters); features [n, 3, m].

    least: lower bound of the first parameter.
    """
    from scipy.optimize import minimize

    result = minimize(
        penalised_loss,
        centre,
        args=(features, labels, centre),
        jac=True,
        method="L-BFGS-B",
        bounds=[(least, None)] + [(None, None)] * (len(centre) - 1),
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000},
    )
    assert np.isfinite(result.x).all()
    return np.asarray(result.x, dtype=np.float64)


def penalised_loss(
    parameters: FloatArray, features: FloatArray, labels: Labels, centre: FloatArray
) -> tuple[float, FloatArray]:
    """Mean negative log-likelihood plus ridge, and its gradient [m]."""
    rows = np.arange(len(labels))
    logits = features @ parameters
    logits -= logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    totals = weights.sum(axis=1)
    residual = weights / totals[:, None]
    residual[rows, labels] -= 1
    shift = parameters - centre
    loss = (np.log(totals) - logits[rows, labels]).sum() + _RIDGE * shift @ shift
    gradient = np.einsum("nk,nkm->m", residual, features) + 2 * _RIDGE * shift
    return float(loss / len(labels)), np.asarray(gradient / len(labels), dtype=np.float64)


def _safe_log(probabilities: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.maximum(probabilities, np.finfo(np.float64).eps)), dtype=np.float64)


def _check(what: str, values: FloatArray, labels: Labels) -> None:
    assert len(values) == len(labels)
    assert np.isin(labels, (0, 1, 2)).all()
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not finite.all():
        raise InputError(f"row {int(np.argmin(finite))}: {what} is not finite; leave failed rows out before fitting")
    if len(labels) < MINIMUM_ROWS:
        raise InputError(f"{len(labels)} labelled rows: fitting needs at least {MINIMUM_ROWS}")
