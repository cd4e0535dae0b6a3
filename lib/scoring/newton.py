"""Softmax regressions of paired comparisons, fitted by Newton's method, many sets of counts at once.

p pairs have k outcomes each; the logits of a pair's outcomes are features [p, k, m] @ parameters [m]. The first s
parameters are ratings, of which only differences count: their mean is kept at 0. The loss is convex.
"""

import numpy as np

from lib.scoring.probabilities import FloatArray

_MOST_STEPS = 200
# What one more step would add to the log-likelihood, for each battle, when the maximum is reached. Parameters are then
# right to 9 digits, or to what rounding leaves where the battles hardly tell.
_CONVERGED = 1e-20


def maximise(features: FloatArray, counts: FloatArray, s: int, ridge: float) -> FloatArray:
    """Parameters [b, m] of the largest likelihood of each of b sets of counts [b, p, k].

    ridge: 1 / variance of a Gaussian prior on each parameter; may be 0 where the likelihood has a maximum.

    A step that would change logits by up to c, relative to each other, is shortened to ln(1 + c) / c of it: so it never
    leads downhill, with no need to try (Sun and Tran-Dinh, Generalized self-concordant functions, 2019).
    """
    parameters = np.zeros((len(counts), features.shape[2]))
    for _ in range(_MOST_STEPS):
        gradient, hessian = _derivatives(features, counts, parameters, s, ridge)
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        gain = (gradient * step).sum(axis=1)
        change = np.ptp(np.einsum("pkm,bm->bpk", features, step), axis=2).max(axis=1, keepdims=True)
        parameters -= step * np.log1p(change) / np.maximum(change, np.finfo(np.float64).tiny)
        if (gain <= _CONVERGED * counts.sum(axis=(1, 2))).all():
            return parameters
    raise AssertionError("Newton's method has not converged; has the likelihood a maximum?")


def sandwich(
    features: FloatArray, counts: FloatArray, residuals: FloatArray, parameters: FloatArray, s: int, ridge: float
) -> FloatArray:
    """Covariance [m, m] of fitted parameters [m] from the scores (`residuals`, [q, m]) of q independent clusters.

    Liang and Zeger, Longitudinal data analysis using generalized linear models (Biometrika 1986), times q / (q - 1).
    It holds where the battles of a cluster depend on each other, and where outcomes are probabilities.
    """
    q = len(residuals)
    _, hessian = _derivatives(features, counts[None], parameters[None], s, ridge)
    bread = np.linalg.inv(hessian[0])
    return np.asarray(bread @ (residuals.T @ residuals) @ bread * q / (q - 1), dtype=np.float64)


def scores(features: FloatArray, parameters: FloatArray) -> FloatArray:
    """[p, k, m] gradient of the log-likelihood of one battle of each pair and outcome."""
    means = np.einsum("pk,pkm->pm", _probabilities(features, parameters[None])[0], features)
    return np.asarray(features - means[:, None], dtype=np.float64)


def _derivatives(
    features: FloatArray, counts: FloatArray, parameters: FloatArray, s: int, ridge: float
) -> tuple[FloatArray, FloatArray]:
    """Gradient [b, m] and Hessian [b, m, m] of the loss: the negative log-likelihood, and ridge / 2 times the squares.

    To shift all ratings changes no likelihood; a term that is 0 where their mean is keeps the Hessian regular.
    """
    (p, k, m), b = features.shape, len(counts)
    flat = features.reshape(p * k, m)
    probabilities = _probabilities(features, parameters)
    battles = counts.sum(axis=2, keepdims=True)
    expected = (battles * probabilities).reshape(b, p * k)
    gradient = (expected - counts.reshape(b, p * k)) @ flat + ridge * parameters
    means = np.einsum("bpk,pkm->bpm", probabilities, features)
    squares = (flat[:, :, None] * flat[:, None, :]).reshape(p * k, m * m)
    hessian = (expected @ squares).reshape(b, m, m) - (battles * means).transpose(0, 2, 1) @ means
    hessian += ridge * np.eye(m)
    hessian[:, :s, :s] += 1
    return gradient, hessian


def _probabilities(features: FloatArray, parameters: FloatArray) -> FloatArray:
    """[b, p, k]."""
    logits = np.einsum("pkm,bm->bpk", features, parameters)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    return np.asarray(weights / weights.sum(axis=2, keepdims=True), dtype=np.float64)
