"""Softmax regressions whose logits are linear in the parameters, fitted by maximum likelihood with a Gaussian prior."""

import numpy as np

from lib.scoring.metrics import Labels
from lib.scoring.probabilities import FloatArray


def maximise(
    features: FloatArray, labels: Labels, *, centre: FloatArray, ridge: float, least: float = -np.inf
) -> FloatArray:
    """Parameters [m] of P(class k of row i) = mean over o of softmax_k(features[i, o, k] @ parameters).

    features: [n, o, 3, m]; with one o (most methods) the likelihood has one maximum, with more it is sought from
    `centre` on. centre: mean of the prior; ridge: 1 / (2 * its variance), against the summed log-likelihood. least:
    lower bound of the first parameter.
    """
    from scipy.optimize import minimize

    result = minimize(
        penalised_loss,
        centre,
        args=(features, labels, centre, ridge),
        jac=True,
        method="L-BFGS-B",
        bounds=[(least, None)] + [(None, None)] * (len(centre) - 1),
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000},
    )
    assert np.isfinite(result.x).all()
    return np.asarray(result.x, dtype=np.float64)


def penalised_loss(
    parameters: FloatArray, features: FloatArray, labels: Labels, centre: FloatArray, ridge: float
) -> tuple[float, FloatArray]:
    """Mean negative log-likelihood plus ridge, and its gradient [m]. Arguments as of `maximise`."""
    rows = np.arange(len(labels))
    flat = features.reshape(-1, len(parameters))  # one product of a matrix and a vector
    logits = (flat @ parameters).reshape(features.shape[:3])
    logits -= logits.max(axis=2, keepdims=True)
    weights = np.exp(logits)
    totals = weights.sum(axis=2)
    log_likely = logits[rows, :, labels] - np.log(totals)  # [n, o]
    best = log_likely.max(axis=1, keepdims=True)
    parts = np.exp(log_likely - best)
    residual = weights / totals[:, :, None]
    residual[rows, :, labels] -= 1
    residual *= (parts / parts.sum(axis=1, keepdims=True))[:, :, None]
    shift = parameters - centre
    loss = -(best[:, 0] + np.log(parts.mean(axis=1))).sum() + ridge * shift @ shift
    gradient = residual.ravel() @ flat + 2 * ridge * shift
    return float(loss / len(labels)), np.asarray(gradient / len(labels), dtype=np.float64)
