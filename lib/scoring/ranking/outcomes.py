"""Models of a paired comparison: the log-likelihood of its three outcomes, given z, the log-odds of the first against
the second, and one parameter for ties.

Each is concave in both together, so that a sum of them has one maximum.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from lib.scoring.probabilities import FloatArray


class RatingModel(Enum):
    """How ratings are computed; Elo's are no maximum of a likelihood."""

    bradley_terry = "bradley_terry"
    davidson = "davidson"
    rao_kupper = "rao_kupper"
    elo = "elo"


@dataclass(frozen=True)
class Curves:
    """Of u values of z, for each of the outcomes first wins, second wins, tie: [u, 3].

    value: log-likelihood. z, t: its derivatives by log-odds and tie parameter; zz, zt, tt: the second ones.
    """

    value: FloatArray
    z: FloatArray
    t: FloatArray
    zz: FloatArray
    zt: FloatArray
    tt: FloatArray


def bradley_terry(z: FloatArray, tie: float) -> Curves:
    """P(first) = 1 / (1 + e^-z), a tie being half a win for both; there is no tie parameter.

    Bradley and Terry, Rank analysis of incomplete block designs (Biometrika 1952).
    """
    p, q = _logistic(z), _logistic(-z)
    first, second = -np.logaddexp(0, -z), -np.logaddexp(0, z)
    none = np.zeros((len(z), 3))
    return Curves(
        value=np.stack([first, second, (first + second) / 2], axis=1),
        z=np.stack([q, -p, (q - p) / 2], axis=1),
        t=none,
        zz=np.repeat((-p * q)[:, None], 3, axis=1),
        zt=none,
        tt=none,
    )


def davidson(z: FloatArray, tie: float) -> Curves:
    """P(first) : P(second) : P(tie) = e^(z/2) : e^(-z/2) : nu; the tie parameter is ln nu.

    Davidson, On extending the Bradley-Terry model to accommodate ties (JASA 1970).
    """
    logits = np.stack([z / 2, -z / 2, np.full_like(z, tie)], axis=1)
    value = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    first, second, tied = np.exp(value).T
    lead, decided = (first - second) / 2, first + second
    by_z = np.array([0.5, -0.5, 0.0]) - lead[:, None]
    by_t = np.array([0.0, 0.0, 1.0]) - tied[:, None]
    return Curves(
        value=value,
        z=by_z,
        t=by_t,
        zz=np.repeat((lead**2 - decided / 4)[:, None], 3, axis=1),
        zt=np.repeat((lead * tied)[:, None], 3, axis=1),
        tt=np.repeat((-tied * decided)[:, None], 3, axis=1),
    )


def rao_kupper(z: FloatArray, tie: float) -> Curves:
    """P(first) = 1 / (1 + theta e^-z), P(second) = 1 / (1 + theta e^z); the tie parameter is ln theta, above 0.

    Rao and Kupper, Ties in paired-comparison experiments (JASA 1967); it is an ordered logit with thresholds +-ln
    theta.
    """
    assert tie > 0
    p, q = _logistic(z - tie), _logistic(-z - tie)
    p_rest, q_rest = _logistic(tie - z), _logistic(tie + z)
    first, second = -np.logaddexp(0, tie - z), -np.logaddexp(0, tie + z)
    tied = np.log(-np.expm1(-2 * tie)) - np.logaddexp(0, z - tie) - np.logaddexp(0, -z - tie)
    p_slope, q_slope = p * p_rest, q * q_rest
    widening = 2 / np.expm1(2 * tie)
    narrowing = widening * (widening + 2)
    return Curves(
        value=np.stack([first, second, tied], axis=1),
        z=np.stack([p_rest, -q_rest, q - p], axis=1),
        t=np.stack([-p_rest, -q_rest, p + q + widening], axis=1),
        zz=-np.stack([p_slope, q_slope, p_slope + q_slope], axis=1),
        zt=np.stack([p_slope, -q_slope, p_slope - q_slope], axis=1),
        tt=-np.stack([p_slope, q_slope, p_slope + q_slope + narrowing], axis=1),
    )


@dataclass(frozen=True)
class Model:
    """curves: of z and a tie parameter. tie_at: the tie parameter by which equal systems tie with a probability; None
    where there is no such parameter. lowest: the tie parameter is above it."""

    curves: Callable[[FloatArray, float], Curves]
    tie_at: Callable[[float], float] | None = None
    lowest: float = -np.inf


MODELS: Mapping[RatingModel, Model] = {
    RatingModel.bradley_terry: Model(bradley_terry),
    RatingModel.davidson: Model(davidson, lambda share: float(np.log(2 * share / (1 - share)))),
    RatingModel.rao_kupper: Model(rao_kupper, lambda share: float(2 * np.arctanh(share)), 0.0),
}


def probabilities(model: RatingModel, z: FloatArray, tie: float | None) -> FloatArray:
    """[..., 3] probabilities of first wins, second wins, tie, at log-odds z of any shape; Bradley-Terry and Elo know no
    ties. tie: the tie parameter; None where there were no ties."""
    if model in (RatingModel.bradley_terry, RatingModel.elo) or tie is None:
        return np.stack([_logistic(z), _logistic(-z), np.zeros_like(z)], axis=-1)
    return np.asarray(np.exp(MODELS[model].curves(z.reshape(-1), tie).value).reshape(*z.shape, 3))


def _logistic(x: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-np.logaddexp(0, -x)), dtype=np.float64)
