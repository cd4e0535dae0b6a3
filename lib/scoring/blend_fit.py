"""Weights of a blend, fitted on labels, and what the blend is worth on rows it was not fitted on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lib.scoring.calibrating.base import Inputs
from lib.scoring.calibrating.choosing import Groups, folds_of, held_out, held_out_of, require_folds
from lib.scoring.calibrating.scaling import Stack
from lib.scoring.inference.estimates import Estimate, clustered_mean
from lib.scoring.metrics import Labels, log_probabilities
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


@dataclass(frozen=True)
class BlendFit:
    """A fitted blend of m members.

    weights: [m], fitted on all rows. members: [m], log loss of each. blend: log loss of the blend on rows that its
    weights were not fitted on. to_best: that minus the log loss of `best`, the member with the lowest. stack: the
    logistic regression in place of weights, where asked for; stacked, to_blend: its log loss on rows held out, and that
    minus the blend's. folds: into which the questions were divided.
    """

    weights: FloatArray
    members: Sequence[Estimate]
    best: int
    blend: Estimate
    to_best: Estimate
    folds: int
    stack: Stack | None = None
    stacked: Estimate | None = None
    to_blend: Estimate | None = None

    @property
    def stack_is_better(self) -> bool:
        """Whether the stack is to be taken: on rows held out it is better than the blend."""
        return self.to_blend is not None and self.to_blend.value < 0

    def apply(self, members: FloatArray) -> FloatArray:
        """Probabilities [n, 3] of members [n, m, 3]: by the stack where that is better, else by the weights."""
        if self.stack is not None and self.stack_is_better:
            return self.stack.apply(Inputs(members=members))
        return _blended(members, self.weights)


def fit_blend(members: FloatArray, labels: Labels, groups: Groups, *, folds: int = 5, stack: bool = False) -> BlendFit:
    """Fit the weights of members [n, m, 3], and measure them on questions held out.

    groups: [n], equal for rows about one question. stack: fit a logistic regression as well. Raises InputError where
    the rows are too few.
    """
    fold = folds_of(groups, folds)
    require_folds(fold, groups)

    def fit(train: npt.NDArray[np.bool_]) -> Callable[[npt.NDArray[np.bool_]], FloatArray]:
        weights = fit_weights(members[train], labels[train])
        return lambda test: _blended(members[test], weights)

    def loss(probabilities: FloatArray) -> FloatArray:
        return -log_probabilities(probabilities, labels)

    singles = [loss(members[:, m]) for m in range(members.shape[1])]
    best = int(np.argmin([single.mean() for single in singles]))
    blended = loss(held_out(fit, fold))
    found = BlendFit(
        weights=fit_weights(members, labels),
        members=[clustered_mean(single, groups) for single in singles],
        best=best,
        blend=clustered_mean(blended, groups),
        to_best=clustered_mean(blended - singles[best], groups),
        folds=len(np.unique(fold)),
    )
    if not stack:
        return found
    inputs = Inputs(members=members)
    stacked = loss(held_out_of(Stack, inputs, labels, fold))
    return replace(
        found,
        stack=Stack.fit(inputs, labels),
        stacked=clustered_mean(stacked, groups),
        to_blend=clustered_mean(stacked - blended, groups),
    )


def _blended(members: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("m,nmk->nk", weights, members), dtype=np.float64)
