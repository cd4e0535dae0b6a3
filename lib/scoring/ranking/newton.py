"""The maximum of a paired comparison model's likelihood, by Newton's method, and its derivatives there.

Parameters are [s + c] ratings and coefficients of covariates, and then, where the model has one, the tie parameter. Of
ratings only differences count: their mean is kept at 0.
"""

from dataclasses import dataclass, replace

import numpy as np

from lib.scoring.probabilities import FloatArray
from lib.scoring.ranking.outcomes import Curves, Model
from lib.scoring.ranking.votes import Rows

_MOST_STEPS = 200
# What one more step would add to the log-likelihood, for each vote, when the maximum is reached. Parameters are then
# right to 9 digits, or to what rounding leaves where the votes hardly tell.
_CONVERGED = 1e-20
_ENOUGH = 0.1  # of what the gradient promises, which a step has to gain


class NoMaximum(Exception):
    """The likelihood rises for ever along some direction, or stays the same."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Of rows, under a model. s: how many of the parameters are ratings. tied: whether the tie parameter is one of
    them.

    ridge: 1 / variance of a Gaussian prior on each parameter; may be 0 where the likelihood has a maximum.
    """

    rows: Rows
    model: Model
    s: int
    tied: bool
    ridge: float = 0.0

    def counting(self, counts: FloatArray) -> "Likelihood":
        """The same with other counts [u, 3]."""
        return replace(self, rows=replace(self.rows, counts=counts))

    def curves(self, parameters: FloatArray) -> Curves:
        """Of each row, at some parameters."""
        linear, tie = self._apart(parameters)
        return self.model.curves(self.rows.features @ linear, tie)

    def value(self, parameters: FloatArray) -> float:
        """The logarithm; -inf where the tie parameter can't be."""
        if self.tied and parameters[-1] <= self.model.lowest:
            return -np.inf
        fit = float((self.rows.counts * self.curves(parameters).value).sum())
        return fit - self.ridge / 2 * float(parameters @ parameters)

    def derivatives(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradient [m] and information [m, m], the Hessian of the negative logarithm.

        To shift all ratings changes no likelihood; a term that is 0 where their mean is keeps the information regular.
        """
        gradient, information = self.of_votes(parameters)
        information += self.ridge * np.eye(len(gradient))
        information[: self.s, : self.s] += np.trace(information[: self.s, : self.s]) / self.s**2
        return gradient - self.ridge * parameters, information

    def of_votes(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same of the votes alone: without the prior, and without that term."""
        curves, counts, features = self.curves(parameters), self.rows.counts, self.rows.features
        gradient = features.T @ (counts * curves.z).sum(axis=1)
        curvature = -(counts * curves.zz).sum(axis=1)
        information = (features.T @ (features * curvature[:, None])).toarray()
        if self.tied:
            cross = -features.T @ (counts * curves.zt).sum(axis=1)
            corner = -(counts * curves.tt).sum()
            gradient = np.append(gradient, (counts * curves.t).sum())
            information = np.block([[information, cross[:, None]], [cross[None], corner]])
        return gradient, information

    def start(self) -> FloatArray:
        """Parameters [m] from which to begin: equal systems, which tie as often as these did."""
        parameters = np.zeros(self.rows.features.shape[1])
        if not self.tied:
            return parameters
        assert self.model.tie_at is not None
        share = self.rows.counts[:, 2].sum() / self.rows.counts.sum()
        return np.append(parameters, self.model.tie_at(float(np.clip(share, 1e-3, 0.999))))

    def maximum(self, start: FloatArray | None = None) -> FloatArray:
        """Parameters [m] of the largest likelihood. Raises NoMaximum where none is found."""
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        parameters = self.start() if start is None else start
        value = self.value(parameters)
        for _ in range(_MOST_STEPS):
            gradient, information = self.derivatives(parameters)
            try:
                step = cho_solve(cho_factor(information), gradient)
            except LinAlgError as error:
                raise NoMaximum from error
            gain = float(gradient @ step)
            if gain <= _CONVERGED * self.rows.total:
                return np.asarray(parameters + step)
            size = 1.0
            # Close to the maximum what a step gains is lost in the rounding of the sum.
            while (there := self.value(parameters + size * step)) < value + _ENOUGH * size * gain - 1e-12 * abs(value):
                size /= 2
                if size < 1e-12:
                    raise NoMaximum
            parameters, value = parameters + size * step, there
        raise NoMaximum

    def _apart(self, parameters: FloatArray) -> tuple[FloatArray, float]:
        return (parameters[:-1], float(parameters[-1])) if self.tied else (parameters, 0.0)
