"""Means with intervals, of values that come block by block and may depend on each other within a cluster."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from lib.scoring.probabilities import FloatArray


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean and its 95 % interval; None where there is none: of no value, or of one cluster."""

    rows: int
    clusters: int
    mean: float | None
    low: float | None
    high: float | None


class MeanSums:
    """What a mean is made of: of each cluster the number of its values and their sum."""

    def __init__(self) -> None:
        self._clusters: dict[Hashable, tuple[int, float]] = {}

    def add(self, values: FloatArray, clusters: Sequence[Hashable]) -> None:
        """Take in values [n] with their clusters [n]; NaN is no value."""
        for value, cluster in zip(values.tolist(), clusters, strict=True):
            if value == value:
                count, total = self._clusters.get(cluster, (0, 0.0))
                self._clusters[cluster] = count + 1, total + value

    def mean(self) -> Mean:
        """The mean of all values, and its interval by Student's t with (clusters - 1) degrees of freedom.

        The variance is the sum of the clusters' squared sums of residuals, over n squared, times q / (q - 1): Liang and
        Zeger, Longitudinal data analysis using generalized linear models (Biometrika 1986). With a value in each
        cluster that is the usual interval of a mean.
        """
        from scipy.stats import t

        q = len(self._clusters)
        if not q:
            return Mean(rows=0, clusters=0, mean=None, low=None, high=None)
        counts, totals = (np.array(column, np.float64) for column in zip(*self._clusters.values(), strict=True))
        rows = int(counts.sum())
        mean = float(totals.sum() / rows)
        if q == 1:
            return Mean(rows=rows, clusters=1, mean=mean, low=None, high=None)
        variance = float(((totals - counts * mean) ** 2).sum()) / rows**2 * q / (q - 1)
        half = float(t.ppf(0.975, q - 1)) * variance**0.5
        return Mean(rows=rows, clusters=q, mean=mean, low=mean - half, high=mean + half)
