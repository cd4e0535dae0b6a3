"""Figures with 95 % intervals where rows about one question depend on each other: sums by cluster are all it takes.

A figure is a function of sums over rows: a mean is one sum divided by another, kappa a function of nine. Its variance
is the jackknife's, leaving out one cluster at a time (Tukey 1958; CV3 in MacKinnon, Nielsen and Webb, Fast and reliable
jackknife and bootstrap methods for cluster-robust inference, 2023), with Student's t of one degree of freedom less than
there are clusters.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib.scoring.probabilities import FloatArray

Keys = npt.NDArray[np.uint64]

MOST_CLUSTERS = 1 << 14
"""Of which sums are kept. Where there are more, clusters whose keys begin alike count as one: which do is chance, so
that intervals stay right, with as many degrees of freedom as that."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIXES = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval and standard error; None where there is only one cluster, which tells nothing of
    others."""

    value: float
    low: float | None = None
    high: float | None = None
    error: float | None = None

    def holds(self, value: float) -> bool:
        """Whether the interval leaves it open that the figure is this value; so does one that there isn't."""
        return self.low is None or self.high is None or self.low <= value <= self.high

    @property
    def negative(self) -> "Estimate":
        """That of the figure with the other sign."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return Estimate(-self.value, low, high, self.error)

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.high is not None and self.high < 0


class ClusterSums:
    """Sums of rows by cluster, taken in block by block. Memory: that of MOST_CLUSTERS rows, however many there are."""

    def __init__(self, width: int) -> None:
        """width: numbers of each row."""
        self._keys = np.empty(0, np.uint64)
        self._sums = np.empty((0, width))
        self._dropped = np.uint64(0)  # last bits of keys

    def add(self, keys: Keys, values: FloatArray) -> None:
        """Take in rows' values [n, width]. keys: [n], evenly spread; rows with one key are in one cluster."""
        if not len(keys):
            return
        found, sums = _by_key(keys >> self._dropped, values)
        self._keys, self._sums = _by_key(np.concatenate([self._keys, found]), np.concatenate([self._sums, sums]))
        while len(self._keys) > MOST_CLUSTERS:
            self._dropped += np.uint64(1)
            self._keys, self._sums = _by_key(self._keys >> np.uint64(1), self._sums)

    @property
    def sums(self) -> FloatArray:
        """[clusters, width]"""
        return self._sums

    @property
    def total(self) -> FloatArray:
        """[width]"""
        return np.asarray(self._sums.sum(axis=0))

    def __len__(self) -> int:
        return len(self._keys)


def row_keys(first: int, rows: int) -> Keys:
    """Keys of rows that are clusters by themselves: numbers from `first` on, well mixed (SplitMix64)."""
    keys = (np.arange(first, first + rows).astype(np.uint64) + np.uint64(1)) * _GOLDEN
    for shift, factor in _MIXES:
        keys = (keys ^ (keys >> shift)) * factor
    return np.asarray(keys ^ (keys >> np.uint64(31)), dtype=np.uint64)


def estimate(figure: Callable[[FloatArray], FloatArray], sums: FloatArray) -> Estimate:
    """A figure with its interval, from the sums of clusters [clusters, width].

    figure: of totals [..., width]; NaN where it has no value, and if it has none without some cluster, no interval.
    """
    from scipy.special import stdtrit  # t's quantiles; scipy.stats takes a second to import

    total, count = sums.sum(axis=0), len(sums)
    value = float(figure(total))
    if count < 2:
        return Estimate(value)
    without = figure(total - sums)
    error = float(np.sqrt((count - 1) / count * ((without - value) ** 2).sum()))
    half = float(stdtrit(count - 1, 0.975)) * error
    return Estimate(value, value - half, value + half, error) if np.isfinite(half) else Estimate(value)


def ratio(sums: FloatArray, above: int, below: int) -> Estimate:
    """The sum of one column divided by that of another, which must not be 0."""
    return estimate(lambda total: np.asarray(total[..., above] / total[..., below]), sums)


def clustered_mean(values: FloatArray, groups: Keys) -> Estimate:
    """The mean of values [n], where rows of one group [n] are one cluster."""
    _, number = np.unique(groups, return_inverse=True)
    return ratio(np.stack([np.bincount(number, values), np.bincount(number)], axis=1), 0, 1)


def as_share(found: Estimate, count: int) -> Estimate:
    """The same of a share, which is in [0, 1]. count: of clusters.

    Where all rows have it, or none has, rows don't differ and would give an interval of no width: it is Clopper and
    Pearson's (Biometrika 1934) then, of as many independent rows as there are clusters.
    """
    if found.low is None or found.high is None:
        return found
    least = 0.025 ** (1 / count)
    if found.value == 1:
        return Estimate(1.0, least, 1.0)
    if found.value == 0:
        return Estimate(0.0, 0.0, 1 - least)
    return Estimate(found.value, max(found.low, 0.0), min(found.high, 1.0), found.error)


def _by_key(keys: Keys, values: FloatArray) -> tuple[Keys, FloatArray]:
    """Each key once, ascending, with the sum of its values."""
    found, number = np.unique(keys, return_inverse=True)
    columns = [np.asarray(np.bincount(number, column, len(found)), np.float64) for column in values.T]
    return found, np.stack(columns, axis=1)
