"""Probabilities of a battle's outcomes. Class order is always A, B, tie; everything is float64.

A row that has no answer is NaN, on the way in and on the way out.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MILLION = 1_000_000


def normalise_labels(logprobs: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Probabilities over the labels alone, and how much probability the labels had before that.

    logprobs: [n, k] natural logs. Returns (probabilities [n, k], label mass [n]). A row with a NaN is NaN in both.
    A row whose labels are all impossible (-inf) has mass 0 and NaN probabilities: there is nothing to normalise.
    """
    logs = np.asarray(logprobs, dtype=np.float64)
    return _softmax(logs), np.exp(logs).sum(axis=1)


def swap_ab(probabilities: FloatArray) -> FloatArray:
    """[n, 3] with A and B exchanged."""
    return probabilities[:, [1, 0, 2]]


def average_orders(ab: FloatArray, ba: FloatArray) -> FloatArray:
    """Mean [n, 3] of both presentation orders, each already in terms of the original A and B."""
    return (ab + ba) / 2


def mean_of_orders(ab: FloatArray, ba: FloatArray | None) -> FloatArray:
    """[n, 3]: the mean of both orders, or A first alone where nothing else was asked of any row."""
    return ab if ba is None or np.isnan(ba).all() else average_orders(ab, ba)


def davidson(
    score_a: npt.ArrayLike, score_b: npt.ArrayLike, *, scale: float, bias: float | FloatArray, log_nu: float
) -> FloatArray:
    """P(A) : P(B) : P(tie) = e^{z/2} : e^{-z/2} : nu, with z = scale * (a - b) + bias; [n, 3].

    bias: one for all, or one for each pair [n]. No finite score overflows. A pair with a NaN or infinite score is NaN.
    Davidson, On extending the Bradley-Terry model to accommodate ties (JASA 1970).
    """
    a, b = _pairs(score_a, score_b)
    # Half of z, computed from halves: a - b itself may not fit into a float.
    with np.errstate(over="ignore"):
        half = scale * (a / 2 - b / 2) + bias / 2
    limit = np.finfo(np.float64).max / 2
    half = np.clip(half, -limit, limit)
    return _softmax(np.stack([half, -half, np.full_like(half, log_nu)], axis=1))


def threshold(score_a: npt.ArrayLike, score_b: npt.ArrayLike, *, tie_margin: float = 0.08) -> FloatArray:
    """The source notebook's hard rule, with its numbers; [n, 3].

    |a - b| < tie_margin gives [0.00005, 0.00005, 0.9999]; else the softmax of the two scores minus 0.0001 each, and
    0.0002 for the tie. That falls below 0 in the source where one score is far ahead (by 9.2 or more): here the
    loser gets 0 and the winner the remaining 0.9998, so that values lie in [0, 1] and a row still sums to 1.
    No finite score overflows. A pair with a NaN or infinite score is NaN.
    """
    a, b = _pairs(score_a, score_b)
    with np.errstate(over="ignore"):
        tied = np.abs(a - b) < tie_margin
    decided = np.empty((len(a), 3))
    decided[:, :2] = np.clip(_softmax(np.stack([a, b], axis=1)) - 0.0001, 0.0, 0.9998)
    decided[:, 2] = np.where(np.isnan(a), np.nan, 0.0002)
    return np.where(tied[:, None], [0.00005, 0.00005, 0.9999], decided)


def to_millionths(probabilities: FloatArray) -> IntArray:
    """Whole millionths [n, k] whose rows sum to exactly 1,000,000: what a submission with 6 decimals can hold.

    Rows are normalised first. Largest remainder (Hamilton's method); equal remainders go to the earlier class.
    No value moves by a millionth or more. Rows must be finite and non-negative.
    """
    assert np.isfinite(probabilities).all(), "rows without probabilities must be filled or left out first"
    assert (probabilities >= 0).all(), "negative probability"
    exact = probabilities / probabilities.sum(axis=1, keepdims=True) * MILLION
    whole = np.floor(exact)
    short = MILLION - whole.sum(axis=1, keepdims=True)
    rank = np.argsort(np.argsort(whole - exact, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(whole + (rank < short), dtype=np.int64)


def blend(probabilities: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """Weighted arithmetic mean of several [n, 3]. Weights are a simplex (checked by the caller)."""
    assert len(probabilities) == len(weights) > 0
    total = weights[0] * probabilities[0]
    for weight, other in zip(weights[1:], probabilities[1:], strict=True):
        total = total + weight * other
    return total


def _pairs(score_a: npt.ArrayLike, score_b: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Both scores as float64 [n]; NaN in both where either is not finite."""
    a, b = np.asarray(score_a, dtype=np.float64), np.asarray(score_b, dtype=np.float64)
    usable = np.isfinite(a) & np.isfinite(b)
    return np.where(usable, a, np.nan), np.where(usable, b, np.nan)


def _softmax(logits: FloatArray) -> FloatArray:
    # Subtracting the largest keeps exp from overflowing; a difference too large for a float is -inf, whose exp is 0.
    with np.errstate(over="ignore", invalid="ignore"):
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)
