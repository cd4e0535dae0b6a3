"""Temperature scaling of probabilities, with an offset for the tie, and with the bias of each presentation order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from lib.scoring.calibrating.base import Calibrator, Inputs, log_of, softmax
from lib.scoring.calibrating.softmax_regression import maximise
from lib.scoring.metrics import Labels
from lib.scoring.probabilities import FloatArray

RIDGE = 1e-3
"""A prior with a standard deviation of 22 about "no effect". It keeps separable data finite and is lost in the noise of
anything else."""

_LEAST_INVERSE = 1e-3
HOTTEST = 1 / _LEAST_INVERSE
"""The highest temperature: what is fitted so says that the probabilities tell nothing of the labels."""


@dataclass(frozen=True, kw_only=True)
class Temperature(Calibrator):
    """P_i is proportional to p_i^(1/temperature). Guo et al., On calibration of modern neural networks (ICML 2017).

    temperature: above 1 softens; at most 1000, where the probabilities hardly count any more.
    """

    name: ClassVar = "temperature"
    uses: ClassVar = ("probabilities",)
    shapes: ClassVar[Mapping[str, tuple[int | None, ...]]] = {"temperature": ()}
    temperature: float

    @classmethod
    def _fit(cls, inputs: Inputs, labels: Labels) -> Self:
        features = log_of(inputs.need("probabilities"))[:, None, :, None]
        (inverse,) = maximise(features, labels, centre=np.ones(1), ridge=RIDGE, least=_LEAST_INVERSE)
        return cls(temperature=float(1 / inverse))

    def apply(self, inputs: Inputs) -> FloatArray:
        """Probabilities [n, 3]; NaN rows stay NaN."""
        return softmax(log_of(inputs.need("probabilities")) / self.temperature)


@dataclass(frozen=True, kw_only=True)
class TemperatureTie(Calibrator):
    """P_i is proportional to p_i^(1/temperature), times e^tie_offset for the tie."""

    name: ClassVar = "temperature_tie"
    uses: ClassVar = ("probabilities",)
    shapes: ClassVar[Mapping[str, tuple[int | None, ...]]] = {"temperature": (), "tie_offset": ()}
    temperature: float
    tie_offset: float

    @classmethod
    def _fit(cls, inputs: Inputs, labels: Labels) -> Self:
        features = np.zeros((len(labels), 1, 3, 2))
        features[:, 0, :, 0] = log_of(inputs.need("probabilities"))
        features[:, 0, 2, 1] = 1
        inverse, offset = maximise(
            features, labels, centre=np.array([1.0, 0.0]), ridge=RIDGE, least=_LEAST_INVERSE
        ).tolist()
        return cls(temperature=1 / inverse, tie_offset=offset)

    def apply(self, inputs: Inputs) -> FloatArray:
        """Probabilities [n, 3]; NaN rows stay NaN."""
        return self.of_probabilities(inputs.need("probabilities"))

    def of_probabilities(self, probabilities: FloatArray) -> FloatArray:
        """The same, of probabilities [n, 3]."""
        return softmax(log_of(probabilities) / self.temperature + np.array([0.0, 0.0, self.tie_offset]))


@dataclass(frozen=True, kw_only=True)
class OrderBias(Calibrator):
    """Temperature and tie offset in each presentation order, and the bias of each; then the mean of both orders.

    bias_ab, bias_ba: added to the logit of the response that is shown first, with A and with B first; below 0 where the
    judge favours what it sees first. Position bias: Zheng et al. 2023, section 3.3.
    """

    name: ClassVar = "order_bias"
    uses: ClassVar = ("ab", "ba")
    shapes: ClassVar[Mapping[str, tuple[int | None, ...]]] = {
        "temperature": (), "tie_offset": (), "bias_ab": (), "bias_ba": (),
    }  # fmt: skip
    temperature: float
    tie_offset: float
    bias_ab: float
    bias_ba: float

    @classmethod
    def _fit(cls, inputs: Inputs, labels: Labels) -> Self:
        features = np.zeros((len(labels), 2, 3, 4))
        features[:, 0, :, 0], features[:, 1, :, 0] = log_of(inputs.need("ab")), log_of(inputs.need("ba"))
        features[:, :, 2, 1] = 1
        features[:, 0, 0, 2] = 1  # A is shown first
        features[:, 1, 1, 3] = 1  # B is
        inverse, offset, bias_ab, bias_ba = maximise(
            features, labels, centre=np.array([1.0, 0.0, 0.0, 0.0]), ridge=RIDGE, least=_LEAST_INVERSE
        ).tolist()
        return cls(temperature=1 / inverse, tie_offset=offset, bias_ab=bias_ab, bias_ba=bias_ba)

    def apply(self, inputs: Inputs) -> FloatArray:
        """Probabilities [n, 3]; NaN where a row lacks an order."""
        ab = softmax(log_of(inputs.need("ab")) / self.temperature + np.array([self.bias_ab, 0, self.tie_offset]))
        ba = softmax(log_of(inputs.need("ba")) / self.temperature + np.array([0, self.bias_ba, self.tie_offset]))
        return (ab + ba) / 2
