"""Weights of a blend, fitted on labels."""

import numpy as np

from lib.scoring.metrics import Labels
from lib.scoring.probabilities import FloatArray

_GAP = 1e-6  # of the mean log-likelihood
_NOTHING = 1e-7  # a weight below it is 0
_STEPS = 5


def fit_weights(members: FloatArray, labels: Labels) -> FloatArray:
    """Weights [m] in [0, 1] that sum to 1, of the arithmetic mean of members [n, m, 3] with the lowest log loss.

    The loss is convex in the weights, and by the duality gap the lowest there is to 1e-6.
    """
    from scipy.optimize import minimize

    likely = np.take_along_axis(members, labels[:, None, None].astype(np.intp), axis=2)[:, :, 0]
    likely = np.maximum(likely, np.finfo(np.float64).eps)  # as of the log loss

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        blend = np.maximum(likely @ weights, np.finfo(np.float64).tiny)
        return float(-np.log(blend).mean()), -(likely / blend[:, None]).mean(axis=0)

    m = members.shape[1]
    found = minimize(
        loss,
        np.full(m, 1 / m),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * m,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(m)},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    weights = np.where(found.x < _NOTHING, 0.0, found.x)
    weights = _polished(likely, weights / weights.sum())
    gap = float((likely / (likely @ weights)[:, None]).mean(axis=0).max()) - 1
    assert gap <= _GAP, f"the weights have not converged: the loss may be {gap:g} above the lowest"
    return weights


def _polished(likely: FloatArray, weights: FloatArray) -> FloatArray:
    """The same after a few Newton steps among those above 0, on the plane where they sum to 1."""
    taken = np.flatnonzero(weights)
    part, m = likely[:, taken], len(taken)
    for _ in range(_STEPS):
        shares = part / (part @ weights[taken])[:, None]
        system = np.block([[shares.T @ shares / len(shares), np.ones((m, 1))], [np.ones((1, m)), np.zeros((1, 1))]])
        step = np.linalg.lstsq(system, np.append(shares.mean(axis=0) - 1, 0.0))[0][:m]  # equal members: the shortest
        moved = weights[taken] + step
        if moved.min() < 0 or np.log(part @ moved).mean() < np.log(part @ weights[taken]).mean():
            break
        weights[taken] = moved / moved.sum()
    return weights
