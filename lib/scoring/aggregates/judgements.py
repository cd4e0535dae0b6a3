"""What a pairwise judge has said of battles, as the published aggregates take it."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lib.errors import InputError
from lib.scoring.metrics import Labels
from lib.scoring.probabilities import FloatArray, swap_ab


class Aggregate(Enum):
    """How a benchmark sums up its judge's verdicts; each has a file of this name here, with its source."""

    both_orders = "both_orders"
    arena_hard = "arena_hard"
    alpaca_eval = "alpaca_eval"
    llmbar = "llmbar"


@dataclass(frozen=True, kw_only=True)
class Judgements:
    """Verdicts about n battles, in either order.

    ab, ba: [n, k] shares of the k labels, with A and with B shown first; about what is shown first and second. NaN
    where an order was not asked, or a row failed. outcomes: [k, 3], as of `outcomes_of`: 1 where a label means that
    what is shown first is better, what is shown second, or neither. weights: [k] of the labels. systems: the two names
    of each battle, None where they are not known. labels: [n] (0 A, 1 B, 2 tie, -1 unknown). clusters: [n], equal where
    rows depend on each other. lengths: [n, 2] characters of A's and B's response, None where they are not known.
    """

    ab: FloatArray
    ba: FloatArray
    outcomes: FloatArray
    weights: FloatArray
    systems: Sequence[tuple[str, str]] | None
    labels: Labels
    clusters: Sequence[Hashable]
    ids: Sequence[str | None]
    lengths: FloatArray | None = None

    @cached_property
    def orders(self) -> tuple[FloatArray, FloatArray]:
        """[n, 3] shares of outcomes with A and with B shown first, each in terms of the row's A, B and a tie."""
        return self.ab @ self.outcomes, swap_ab(self.ba @ self.outcomes)

    @cached_property
    def names(self) -> Sequence[tuple[str, str]]:
        """The two systems of each battle; "A" and "B" where they are not known."""
        return [("A", "B")] * len(self.ab) if self.systems is None else self.systems


@dataclass(frozen=True)
class Against:
    """The battles of one system against the baseline: their numbers, and where it is B."""

    rows: npt.NDArray[np.intp]
    is_b: npt.NDArray[np.bool_]

    def clusters(self, judged: Judgements) -> list[Hashable]:
        """Those of these battles."""
        return [judged.clusters[row] for row in self.rows]

    def of_system(self, of_sides: FloatArray) -> FloatArray:
        """The system's own of two columns [n, 2], of A and of B."""
        return np.where(self.is_b, of_sides[self.rows, 1], of_sides[self.rows, 0])

    def of_baseline(self, of_sides: FloatArray) -> FloatArray:
        """The baseline's own of two columns [n, 2]."""
        return np.where(self.is_b, of_sides[self.rows, 0], of_sides[self.rows, 1])


def baseline_of(judged: Judgements, given: str | None) -> str:
    """The system that the others are compared with.

    That is the given one, else that of A in every battle, else the only one that is in every battle; A itself where
    systems are not known. Raises InputError where there is none.
    """
    every = {name for pair in judged.names for name in pair}
    if given is not None:
        if given in every:
            return given
        raise InputError(f"baseline={given}: is none of the systems, which are {_listed(every)}")
    if len(first := {a for a, _ in judged.names}) == 1:
        return first.pop()
    common = set.intersection(*map(set, judged.names)) if judged.names else set()
    if len(common) == 1:
        return common.pop()
    raise InputError(f"baseline: no system is in every battle; name one with baseline=NAME, of {_listed(every)}")


def against(judged: Judgements, baseline: str) -> dict[str, Against]:
    """Each system's battles against the baseline; battles without it, and with itself, are left out."""
    rows: dict[str, list[int]] = {}
    for number, (a, b) in enumerate(judged.names):
        if (a == baseline) != (b == baseline):
            rows.setdefault(b if a == baseline else a, []).append(number)
    return {
        name: Against(np.array(own), np.array([judged.names[row][0] == baseline for row in own]))
        for name, own in sorted(rows.items())
    }


def hard(shares: FloatArray) -> FloatArray:
    """[n, 3] with 1 at the outcome with the largest share, a tie where there are two such; NaN stays."""
    top = shares >= shares.max(axis=1, keepdims=True)
    alone = top.sum(axis=1, keepdims=True) == 1
    found = np.where(alone, top, np.array([0.0, 0.0, 1.0]))
    return np.where(np.isnan(shares).any(axis=1, keepdims=True), np.nan, found)


def mean_of_known(first: FloatArray, second: FloatArray) -> FloatArray:
    """The mean of two arrays, or the one that is known; NaN where neither is."""
    return np.where(np.isnan(first), second, np.where(np.isnan(second), first, (first + second) / 2))


def _listed(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")
