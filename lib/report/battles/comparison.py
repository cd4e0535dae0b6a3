"""Two runs of battles, or submissions, compared row by row; block by block, in flat memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.data.battle_files.label_files import LabelArray
from lib.errors import InputError
from lib.report.battles.paired_rows import Paired
from lib.scoring.inference.battle_intervals import SCORES
from lib.scoring.inference.estimates import Estimate
from lib.scoring.inference.paired import AgreementClusters, Difference, PairedClusters
from lib.scoring.metrics import normalise
from lib.scoring.probabilities import FloatArray
from lib.types import VERDICTS

MOST_DIFFERING = 20


@dataclass(frozen=True, kw_only=True)
class Differing:
    """A row on which two runs differ. distance: total variation, in [0, 1]; label: None where unknown. texts: the
    beginnings of its texts by column, where they are at hand."""

    name: str
    first: tuple[float, ...]
    second: tuple[float, ...]
    distance: float
    label: str | None
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Of two runs. rows: that both scored; measured: those of them with a label, on which `scores` rest, by name; none
    where there are no labels. by: `question` or `row`; clusters: how many of these. agreement, kappa: of the verdicts
    of both, on all rows; kappa NaN where it is undefined. differ_most: most first."""

    first: str
    second: str
    rows: int
    measured: int
    by: str
    clusters: int
    scores: Mapping[str, Difference]
    agreement: Estimate
    kappa: Estimate
    differ_most: tuple[Differing, ...]

    def content(self, metric: str) -> dict[str, Any]:
        """For JSON: the difference of one score at the top, as null where there are no labels."""
        one = self.scores.get(metric)
        top = {"difference": None, "low": None, "high": None, "p": None} if one is None else _content(one)
        return {
            "runs": [self.first, self.second],
            "metric": metric,
            **{key: top[key] for key in ("difference", "low", "high", "p")},
            "rows": self.rows,
            "measured": self.measured,
            "by": self.by,
            "clusters": self.clusters,
            "scores": {name: _content(found) for name, found in self.scores.items()},
            "agreement": _estimate(self.agreement),
            "kappa": _estimate(self.kappa),
            "differ_most": [
                {
                    "name": row.name,
                    "first": list(row.first),
                    "second": list(row.second),
                    "distance": row.distance,
                    "label": row.label,
                    **row.texts,
                }
                for row in self.differ_most
            ],
        }


def compare(blocks: Iterable[Paired], first: str, second: str) -> Comparison:
    """Compare what two runs say of the same rows. first, second: what they are called.

    Log loss counts where neither has hard verdicts only. Raises InputError where no row is scored by both.
    """
    paired, agreement, most = PairedClusters(), AgreementClusters(), _Most()
    rows = measured = 0
    hard, by_question = [True, True], True
    for block in blocks:
        both = ~(np.isnan(block.first).any(axis=1) | np.isnan(block.second).any(axis=1))
        first_p, second_p = (normalise(side[both]) for side in (block.first, block.second))
        labels, keys = block.labels[both], block.questions[both]
        hard = [before and _is_hard(p) for before, p in zip(hard, (first_p, second_p), strict=True)]
        by_question = by_question and block.by_question
        agreement.add(keys, first_p, second_p)
        known = labels >= 0
        paired.add(keys[known], first_p[known], second_p[known], labels[known])
        most.add(block, np.flatnonzero(both), first_p, second_p)
        rows += len(labels)
        measured += int(known.sum())
    if not rows:
        raise InputError(f"{first} and {second}: no row is scored by both, so there is nothing to compare")
    names = [name for name in SCORES if name != "log_loss" or not any(hard)]
    return Comparison(
        first=first,
        second=second,
        rows=rows,
        measured=measured,
        by="question" if by_question else "row",
        clusters=len(paired) if measured else len(agreement),
        scores=paired.differences(names) if measured else {},
        agreement=agreement.share(),
        kappa=agreement.kappa(),
        differ_most=most.found(),
    )


class _Most:
    """The rows that differ most, of those that come block by block."""

    def __init__(self) -> None:
        self._rows: list[Differing] = []

    def add(self, block: Paired, places: npt.NDArray[Any], first: FloatArray, second: FloatArray) -> None:
        """Take in some rows. places: [n] in the block, of probabilities [n, 3]."""
        distance = np.abs(first - second).sum(axis=1) / 2
        for row in np.argsort(-distance, kind="stable")[:MOST_DIFFERING].tolist():
            if distance[row] > 0:
                self._rows.append(_differing(block, int(places[row]), first[row], second[row]))
        self._rows = sorted(self._rows, key=lambda one: -one.distance)[:MOST_DIFFERING]

    def found(self) -> tuple[Differing, ...]:
        """Most first; of equals in their order."""
        return tuple(self._rows)


def _is_hard(probabilities: FloatArray) -> bool:
    return bool(np.isin(probabilities, (0, 0.5, 1)).all())


def _differing(block: Paired, place: int, first: FloatArray, second: FloatArray) -> Differing:
    return Differing(
        name=block.names[place].as_py(),
        first=tuple(first.tolist()),
        second=tuple(second.tolist()),
        distance=float(np.abs(first - second).sum() / 2),
        label=_word(block.labels, place),
    )


def _word(labels: LabelArray, place: int) -> str | None:
    return VERDICTS[labels[place]] if labels[place] >= 0 else None


def _content(found: Difference) -> dict[str, Any]:
    difference = found.difference
    return {
        "first": found.first.value,
        "second": found.second.value,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p": found.p,
    }


def _estimate(found: Estimate) -> dict[str, float | None]:
    return {"value": None if np.isnan(found.value) else found.value, "low": found.low, "high": found.high}
