"""Means with intervals, of values that come block by block and may depend on each other within a cluster."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lib.scoring.probabilities import FloatArray

_ALIKE = 1e-15  # of a variance, relative to the squared mean: so little is but rounding


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean and its 95 % interval; None where there is none: of no value, one cluster, or values all alike."""

    rows: int
    clusters: int
    mean: float | None
    low: float | None
    high: float | None

    def within(self, low: float, high: float) -> "Mean":
        """The same with an interval of which no end is where no mean can be."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(self.low, low), high=min(self.high, high))


class MeanSums:
    """What a mean is made of: of each cluster the sums of its weights and of its weighted values.

    Values that are clusters by themselves are summed up together, so that memory is the same for however many.
    """

    def __init__(self) -> None:
        self._rows = self._alone = 0
        self._clusters: dict[Hashable, tuple[float, float]] = {}
        self._sums = np.zeros(5)  # of those alone: w, wv, w^2, w^2 v, w^2 v^2

    def add(
        self, values: FloatArray, clusters: Sequence[Hashable] | None = None, weights: FloatArray | None = None
    ) -> None:
        """Take in values [n] with their clusters [n], each counted as often as its weight says; NaN is no value.

        clusters: None where each value is one by itself.
        """
        known = ~np.isnan(values)
        self._rows += int(known.sum())
        v, w = values[known], np.ones(int(known.sum())) if weights is None else weights[known]
        if clusters is None:
            self._alone += len(v)
            self._sums += [w.sum(), w @ v, w @ w, (w * w) @ v, (w * w) @ (v * v)]
            return
        names = (cluster for cluster, there in zip(clusters, known, strict=True) if there)
        for value, weight, cluster in zip(v.tolist(), w.tolist(), names, strict=True):
            count, total = self._clusters.get(cluster, (0.0, 0.0))
            self._clusters[cluster] = count + weight, total + weight * value

    def mean(self) -> Mean:
        """The mean of all values, and its interval by Student's t with (clusters - 1) degrees of freedom.

        The variance is the sum of the clusters' squared sums of weighted residuals, over the squared sum of all
        weights, times q / (q - 1): Liang and Zeger, Longitudinal data analysis using generalized linear models
        (Biometrika 1986). With one value in each cluster, and no weights, that is the usual interval of a mean.
        """
        from scipy.stats import t

        q = len(self._clusters) + self._alone
        if not q:
            return Mean(rows=0, clusters=0, mean=None, low=None, high=None)
        counts, totals = np.array(list(self._clusters.values()), np.float64).reshape(-1, 2).T
        weight = counts.sum() + self._sums[0]
        mean = float((totals.sum() + self._sums[1]) / weight)
        _, _, squares, first, second = self._sums
        residuals = ((totals - counts * mean) ** 2).sum() + max(second - 2 * mean * first + mean**2 * squares, 0)
        variance = float(residuals / weight**2 * q / (q - 1)) if q > 1 else 0.0
        if variance <= _ALIKE * max(mean**2, 1):
            return Mean(rows=self._rows, clusters=q, mean=mean, low=None, high=None)
        half = float(t.ppf(0.975, q - 1)) * variance**0.5
        return Mean(rows=self._rows, clusters=q, mean=mean, low=mean - half, high=mean + half)


def rate_of(shares: FloatArray, clusters: Sequence[Hashable], weights: FloatArray | None = None) -> Mean:
    """The mean of values in [0, 1], weighted or not. Arguments as of `MeanSums.add`."""
    sums = MeanSums()
    sums.add(shares, clusters, weights)
    return sums.mean().within(0, 1)
