"""The intervals of a run's scores and of its position bias, from sums by question."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from lib.scoring.inference.estimates import ClusterSums, Estimate, Keys, as_share, estimate, ratio
from lib.scoring.metrics import (
    Labels,
    brier_scores,
    log_probabilities,
    normalise,
    verdicts,
)
from lib.scoring.probabilities import FloatArray

SCORES = ("log_loss", "accuracy", "brier", "kappa")
"""Scores that are functions of sums, which those of `row_sums` are; the calibration error is not smooth in them."""

WIDTH = 11
_LOG, _BRIER, _CONFUSION = 0, 1, 2


def row_sums(probabilities: FloatArray, labels: Labels) -> FloatArray:
    """[n, WIDTH] what complete rows [n, 3] with labels [n] add to the sums: -ln P(label), Brier's score, and the
    confusion (by label, then by verdict)."""
    confused = np.zeros((len(labels), 3, 3))
    confused[np.arange(len(labels)), labels] = verdicts(normalise(probabilities))
    loss, squared = -log_probabilities(probabilities, labels), brier_scores(probabilities, labels)
    return np.column_stack([loss, squared, confused.reshape(-1, 9)])


def score_of(name: str, totals: FloatArray) -> FloatArray:
    """One of SCORES for totals [..., WIDTH]; kappa is NaN where chance agrees always."""
    confused = totals[..., _CONFUSION:]
    rows = confused.sum(axis=-1)
    if name == "kappa":
        return kappas(confused)
    if name == "accuracy":
        return np.asarray(confused[..., ::4].sum(axis=-1) / rows)
    return np.asarray(totals[..., _LOG if name == "log_loss" else _BRIER] / rows)


def kappas(confused: FloatArray) -> FloatArray:
    """Cohen's kappa of confusions [..., 9]; NaN where it is undefined."""
    matrix = confused.reshape(*confused.shape[:-1], 3, 3)
    rows = confused.sum(axis=-1)
    by_chance = (matrix.sum(axis=-1) * matrix.sum(axis=-2)).sum(axis=-1) / rows**2
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (confused[..., ::4].sum(axis=-1) / rows - by_chance) / (1 - by_chance)
    return np.asarray(np.where(by_chance == 1, np.nan, found))


def score_estimate(name: str, sums: FloatArray) -> Estimate:
    """One of SCORES with its interval, from the sums of clusters [clusters, WIDTH]."""
    if name == "kappa":
        return kappa_estimate(sums[:, _CONFUSION:])
    found = estimate(partial(score_of, name), sums)
    return as_share(found, len(sums)) if name == "accuracy" else found


def kappa_estimate(sums: FloatArray) -> Estimate:
    """Kappa of the confusions of clusters [clusters, 9] with its interval; NaN where it is undefined.

    Where all rows agree the interval ends where that of their share does.
    """
    found = estimate(kappas, sums)
    if found.low is None or found.high is None:
        return found
    if found.value == 1:
        matrix = sums.sum(axis=0).reshape(3, 3)
        by_chance = float(matrix.sum(axis=0) @ matrix.sum(axis=1) / matrix.sum() ** 2)
        agreed = as_share(Estimate(1.0, 1.0, 1.0), len(sums)).low
        assert agreed is not None
        return Estimate(1.0, (agreed - by_chance) / (1 - by_chance), 1.0)
    return Estimate(found.value, max(found.low, -1.0), min(found.high, 1.0))


class ScoreClusters:
    """Scores by question, taken in block by block."""

    def __init__(self) -> None:
        self._clusters = ClusterSums(WIDTH)

    def add(self, keys: Keys, probabilities: FloatArray, labels: Labels) -> None:
        """Take in complete rows [n, 3] with labels [n]. keys: [n] of their questions."""
        self._clusters.add(keys, row_sums(probabilities, labels))

    def __len__(self) -> int:
        return len(self._clusters)

    def estimates(self, names: Sequence[str] = SCORES) -> dict[str, Estimate]:
        """Those of SCORES that have an interval."""
        some = names if len(self) > 1 else ()
        found = {name: score_estimate(name, self._clusters.sums) for name in some}
        return {name: one for name, one in found.items() if one.low is not None}


class BiasClusters:
    """Position bias by question, taken in block by block."""

    def __init__(self) -> None:
        self._clusters = ClusterSums(3)

    def add(self, keys: Keys, ab: FloatArray, ba: FloatArray) -> None:
        """Take in both orders' probabilities [n, 3], as of `battle_sums.BiasSums`. keys: [n] of their questions."""
        both = ~(np.isnan(ab).any(axis=1) | np.isnan(ba).any(axis=1))
        ab, ba = normalise(ab[both]), normalise(ba[both])
        changed = (verdicts(ab) * verdicts(ba)).sum(axis=1) == 0
        first = ((ab[:, 0] - ab[:, 1]) + (ba[:, 1] - ba[:, 0])) / 2
        self._clusters.add(keys[both], np.column_stack([np.ones(len(ab)), changed, first]))

    def estimates(self) -> Mapping[str, Estimate]:
        """`changed` and `first_minus_second`, where they have intervals."""
        count = len(self._clusters)
        if count < 2:
            return {}
        changed, first = (ratio(self._clusters.sums, column, 0) for column in (1, 2))
        return {"changed": as_share(changed, count), "first_minus_second": first}
