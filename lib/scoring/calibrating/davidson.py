"""Davidson's model of two rewards, and of the lengths of the two responses beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from lib.errors import InputError
from lib.scoring.calibrating.base import Calibrator, Inputs
from lib.scoring.calibrating.softmax_regression import maximise
from lib.scoring.calibrating.temperature import RIDGE
from lib.scoring.metrics import Labels
from lib.scoring.probabilities import FloatArray, davidson


@dataclass(frozen=True, kw_only=True)
class Davidson(Calibrator):
    """Arguments of `probabilities.davidson`; scale is per unit of reward, bias and log_nu are log-odds."""

    name: ClassVar = "davidson"
    uses: ClassVar = ("score_a", "score_b")
    shapes: ClassVar[Mapping[str, tuple[int | None, ...]]] = {"scale": (), "bias": (), "log_nu": ()}
    scale: float
    bias: float
    log_nu: float

    @classmethod
    def _fit(cls, inputs: Inputs, labels: Labels) -> Self:
        (scale,), bias, log_nu = _fit_differences([_difference(inputs)], labels)
        return cls(scale=scale, bias=bias, log_nu=log_nu)

    def apply(self, inputs: Inputs) -> FloatArray:
        """Probabilities [n, 3] of rewards [n]."""
        return davidson(
            inputs.need("score_a"), inputs.need("score_b"), scale=self.scale, bias=self.bias, log_nu=self.log_nu
        )


@dataclass(frozen=True, kw_only=True)
class DavidsonLength(Calibrator):
    """Davidson with length * ln(length of A / length of B) added to z: what the reward makes too much or little of.

    Length as a covariate of a preference: Dubois et al., Length-controlled AlpacaEval (2024).
    """

    name: ClassVar = "davidson_length"
    uses: ClassVar = ("score_a", "score_b", "log_length")
    shapes: ClassVar[Mapping[str, tuple[int | None, ...]]] = {"scale": (), "length": (), "bias": (), "log_nu": ()}
    scale: float
    length: float
    bias: float
    log_nu: float

    @classmethod
    def _fit(cls, inputs: Inputs, labels: Labels) -> Self:
        (scale, length), bias, log_nu = _fit_differences([_difference(inputs), inputs.need("log_length")], labels)
        return cls(scale=scale, length=length, bias=bias, log_nu=log_nu)

    def apply(self, inputs: Inputs) -> FloatArray:
        """Probabilities [n, 3] of rewards and lengths [n]."""
        bias = self.bias + self.length * inputs.need("log_length")
        return davidson(inputs.need("score_a"), inputs.need("score_b"), scale=self.scale, bias=bias, log_nu=self.log_nu)


def _difference(inputs: Inputs) -> FloatArray:
    with np.errstate(over="ignore"):
        difference = inputs.need("score_a") - inputs.need("score_b")
    if not np.isfinite(difference).all():
        row = int(np.argmin(np.isfinite(difference)))
        raise InputError(f"row {row}: the reward difference is not finite; leave such rows out before fitting")
    return difference


def _fit_differences(columns: list[FloatArray], labels: Labels) -> tuple[list[float], float, float]:
    """Slopes, bias and log_nu of P(A) : P(B) : P(tie) = e^{z/2} : e^{-z/2} : nu, z = bias + slopes @ columns."""
    # Standardised for the optimiser (and so that the ridge means the same for every reward model), then taken back.
    middles = [float(column.mean()) for column in columns]
    spreads = [float(column.std()) or 1.0 for column in columns]
    m = len(columns)
    features = np.zeros((len(labels), 1, 3, m + 2))
    for i, column in enumerate(columns):
        features[:, 0, 0, i] = (column - middles[i]) / spreads[i] / 2
    features[:, 0, 0, m] = 0.5
    features[:, 0, 1] = -features[:, 0, 0]
    features[:, 0, 2, m + 1] = 1
    *found, intercept, log_nu = maximise(features, labels, centre=np.zeros(m + 2), ridge=RIDGE).tolist()
    slopes = [slope / spread for slope, spread in zip(found, spreads, strict=True)]
    bias = intercept - sum(slope * middle for slope, middle in zip(slopes, middles, strict=True))
    return slopes, bias, log_nu
