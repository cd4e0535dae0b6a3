"""Means with intervals, where rows about one question depend on each other."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.scoring.probabilities import FloatArray

_Z = 1.959964  # of 95 %


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval. NaN at both ends where there is one group only."""

    mean: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """The standard error."""
        return (self.high - self.low) / (2 * _Z)


def clustered_mean(values: FloatArray, groups: npt.NDArray[Any]) -> Interval:
    """Mean of values [n], its interval clustered by groups [n] (Liang and Zeger 1986, with g / (g - 1))."""
    mean = float(values.mean())
    _, number = np.unique(groups, return_inverse=True)
    sums = np.bincount(number, weights=values - mean)
    g = len(sums)
    half = _Z * float(np.sqrt((sums**2).sum() * g / (g - 1))) / len(values) if g > 1 else float("nan")
    return Interval(mean, mean - half, mean + half)
