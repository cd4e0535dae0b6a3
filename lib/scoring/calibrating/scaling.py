"""Vector and matrix scaling of probabilities, and the same of several runs at once: a stacked logistic regression.

All are multinomial logistic regressions on log-probabilities. Their prior is that nothing, or for several runs nothing
but their mean, is to be changed: Gaussian, with a standard deviation of 1/2 for each parameter, so that a hundred
labelled rows can't bend twelve parameters at will, and thousands hardly notice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from lib.scoring.calibrating.base import Calibrator, Inputs, log_of, softmax
from lib.scoring.calibrating.softmax_regression import maximise
from lib.scoring.metrics import Labels
from lib.scoring.probabilities import FloatArray

RIDGE = 2.0
"""1 / (2 * 0.5**2)."""

_LEAST = 5e-7  # a submission has 6 decimals: what is below half a millionth counts as that


@dataclass(frozen=True, kw_only=True)
class VectorScaling(Calibrator):
    """Logits are weights [3] * ln p + biases [3]. Guo et al. 2017."""

    name: ClassVar = "vector"
    uses: ClassVar = ("probabilities",)
    shapes: ClassVar[Mapping[str, tuple[int | None, ...]]] = {"weights": (3,), "biases": (3,)}
    weights: FloatArray
    biases: FloatArray

    @classmethod
    def _fit(cls, inputs: Inputs, labels: Labels) -> Self:
        features = np.zeros((len(labels), 1, 3, 6))
        logs = log_of(inputs.need("probabilities"), _LEAST)
        for k in range(3):
            features[:, 0, k, k] = logs[:, k]
            features[:, 0, k, 3 + k] = 1
        found = maximise(features, labels, centre=np.repeat([1.0, 0.0], 3), ridge=RIDGE)
        return cls(weights=found[:3], biases=found[3:])

    def apply(self, inputs: Inputs) -> FloatArray:
        """Probabilities [n, 3]; NaN rows stay NaN."""
        return softmax(log_of(inputs.need("probabilities"), _LEAST) * self.weights + self.biases)


@dataclass(frozen=True, kw_only=True)
class MatrixScaling(Calibrator):
    """Logits are weights [3, 3] @ ln p + biases [3]. Guo et al. 2017."""

    name: ClassVar = "matrix"
    uses: ClassVar = ("probabilities",)
    shapes: ClassVar[Mapping[str, tuple[int | None, ...]]] = {"weights": (3, 3), "biases": (3,)}
    weights: FloatArray
    biases: FloatArray

    @classmethod
    def _fit(cls, inputs: Inputs, labels: Labels) -> Self:
        weights, biases = _fit_matrices(inputs.need("probabilities")[:, None], labels)
        return cls(weights=weights[0], biases=biases)

    def apply(self, inputs: Inputs) -> FloatArray:
        """Probabilities [n, 3]; NaN rows stay NaN."""
        return softmax(log_of(inputs.need("probabilities"), _LEAST) @ self.weights.T + self.biases)


@dataclass(frozen=True, kw_only=True)
class Stack(Calibrator):
    """Logits are the sum over members of weights[member] [3, 3] @ ln p of it, + biases [3].

    A logistic regression stacked upon several runs: Wolpert, Stacked generalization (Neural Networks 1992). Its prior
    is their geometric mean.
    """

    name: ClassVar = "stack"
    uses: ClassVar = ("members",)
    shapes: ClassVar[Mapping[str, tuple[int | None, ...]]] = {"weights": (None, 3, 3), "biases": (3,)}
    weights: FloatArray
    biases: FloatArray

    @classmethod
    def _fit(cls, inputs: Inputs, labels: Labels) -> Self:
        weights, biases = _fit_matrices(inputs.need("members"), labels)
        return cls(weights=weights, biases=biases)

    def apply(self, inputs: Inputs) -> FloatArray:
        """Probabilities [n, 3] of as many members as it was fitted on; NaN where one has none."""
        members = inputs.need("members")
        assert members.shape[1:] == self.weights.shape[:2]
        return softmax(np.einsum("nmj,mkj->nk", log_of(members, _LEAST), self.weights) + self.biases)


def _fit_matrices(members: FloatArray, labels: Labels) -> tuple[FloatArray, FloatArray]:
    """Weights [m, 3, 3] and biases [3] for members [n, m, 3]."""
    n, m, _ = members.shape
    logs = log_of(members, _LEAST)
    weights = np.zeros((n, 3, m, 3, 3))  # of row and class: by which parameters' products its logit is summed
    biases = np.zeros((n, 3, 3))
    for k in range(3):
        weights[:, k, :, k] = logs
        biases[:, k, k] = 1
    features = np.concatenate([weights.reshape(n, 1, 3, 9 * m), biases[:, None]], axis=3)
    centre = np.concatenate([np.tile(np.eye(3).ravel(), m) / m, np.zeros(3)])
    found = maximise(features, labels, centre=centre, ridge=RIDGE)
    return found[: 9 * m].reshape(m, 3, 3), found[9 * m :]
