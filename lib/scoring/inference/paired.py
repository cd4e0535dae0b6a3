"""Two runs on the same rows: how much their scores differ, with an interval and a p by permutation; how they agree."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lib.scoring.inference.battle_intervals import WIDTH, kappa_estimate, row_sums, score_estimate, score_of
from lib.scoring.inference.estimates import ClusterSums, Estimate, Keys, as_share, estimate
from lib.scoring.metrics import Labels, normalise, verdicts
from lib.scoring.probabilities import FloatArray

EXACT_CLUSTERS = 12
"""Up to so many, all assignments of signs are gone through: 4,096."""

DRAWS = 10_000
"""Assignments that are drawn where there are more, from a seed that is always the same."""

_AT_ONCE = 256  # assignments
_ROUNDING = 1e-9  # of a statistic, below which two are equally extreme


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One score of two runs. difference: of the first less the second. p: two-sided, of no difference between them."""

    first: Estimate
    second: Estimate
    difference: Estimate
    p: float

    @property
    def shown(self) -> bool:
        """Whether there is a difference: the interval leaves none out of account, nor does the permutation test."""
        return not self.difference.holds(0) and self.p <= 0.05


class PairedClusters:
    """Scores of two runs by question, taken in block by block."""

    def __init__(self) -> None:
        self._clusters = ClusterSums(2 * WIDTH)

    def add(self, keys: Keys, first: FloatArray, second: FloatArray, labels: Labels) -> None:
        """Take in complete rows [n, 3] of both, with labels [n]. keys: [n] of their questions."""
        self._clusters.add(keys, np.hstack([row_sums(first, labels), row_sums(second, labels)]))

    def __len__(self) -> int:
        return len(self._clusters)

    def differences(self, names: Sequence[str]) -> dict[str, Difference]:
        """By the names of scores, as of `battle_intervals.SCORES`; those that have a value. There must be rows."""
        sums = self._clusters.sums
        first, second = sums[:, :WIDTH], sums[:, WIDTH:]
        found = {name: difference_estimate(name, sums) for name in names}
        known = [name for name in names if not np.isnan(found[name].value)]
        p = permutation_p(first, second, known)
        return {
            name: Difference(
                first=score_estimate(name, first),
                second=score_estimate(name, second),
                difference=found[name],
                p=p[name],
            )
            for name in known
        }


class AgreementClusters:
    """How often two runs' verdicts are the same, by question, taken in block by block."""

    def __init__(self) -> None:
        self._clusters = ClusterSums(9)

    def add(self, keys: Keys, first: FloatArray, second: FloatArray) -> None:
        """Take in complete rows [n, 3] of both. keys: [n] of their questions."""
        one, other = verdicts(normalise(first)), verdicts(normalise(second))
        self._clusters.add(keys, (one[:, :, None] * other[:, None, :]).reshape(-1, 9))

    def __len__(self) -> int:
        return len(self._clusters)

    def share(self) -> Estimate:
        """Of the rows; there must be some."""

        def agreed(total: FloatArray) -> FloatArray:
            return np.asarray(total[..., ::4].sum(axis=-1) / total.sum(axis=-1))

        return as_share(estimate(agreed, self._clusters.sums), len(self._clusters))

    def kappa(self) -> Estimate:
        """Beyond chance (Cohen 1960); NaN where chance explains all."""
        return kappa_estimate(self._clusters.sums)


def difference_estimate(name: str, sums: FloatArray) -> Estimate:
    """The difference of a score with its interval, from the sums of clusters of both runs [clusters, 2 * WIDTH]."""

    def less(totals: FloatArray) -> FloatArray:
        return np.asarray(score_of(name, totals[..., :WIDTH]) - score_of(name, totals[..., WIDTH:]))

    return estimate(less, sums)


def permutation_p(first: FloatArray, second: FloatArray, names: Sequence[str]) -> dict[str, float]:
    """p of each score, two-sided: were the runs alike, they could be exchanged in any cluster.

    first, second: sums [clusters, WIDTH]. All exchanges up to 12 clusters; else (1 + those drawn that are as extreme) /
    (1 + draws), which is never 0 (Phipson and Smyth, Permutation p-values should never be zero, 2010).
    """
    half, total = (first - second) / 2, (first + second).sum(axis=0) / 2
    real = {name: abs(_difference(name, total, half.sum(axis=0))) for name in names}
    extreme, drawn = dict.fromkeys(names, 0), 0
    for signs in _signs(len(first)):
        exchanged = signs @ half
        drawn += len(signs)
        for name in names:
            found = np.abs(_difference(name, total, exchanged))
            extreme[name] += int((np.nan_to_num(found, nan=np.inf) >= real[name] - _ROUNDING).sum())
    if len(first) <= EXACT_CLUSTERS:
        return {name: extreme[name] / drawn for name in names}
    return {name: (1 + extreme[name]) / (1 + drawn) for name in names}


def _signs(clusters: int) -> Iterator[FloatArray]:
    """Assignments of 1 and -1 [some, clusters]: all, or those that are drawn."""
    if clusters <= EXACT_CLUSTERS:
        number = np.arange(1 << clusters)[:, None] >> np.arange(clusters)
        yield np.asarray(1 - 2 * (number & 1), dtype=np.float64)
        return
    rng = np.random.default_rng(0)
    for start in range(0, DRAWS, _AT_ONCE):
        drawn = rng.integers(0, 2, (min(_AT_ONCE, DRAWS - start), clusters), dtype=np.int8)
        yield np.asarray(1 - 2 * drawn, dtype=np.float64)


def _difference(name: str, total: FloatArray, half: FloatArray) -> FloatArray:
    """The difference of a score, for runs whose totals are total + half and total - half, [..., WIDTH] each."""
    return np.asarray(score_of(name, total + half) - score_of(name, total - half))
