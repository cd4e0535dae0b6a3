"""The bias report of a run of battles: what the judge's preferences go with, and how well it does on which rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.data.battle_files.label_files import LabelArray
from lib.scoring.inference.battle_intervals import ScoreClusters
from lib.scoring.inference.bias import Contrast, family, for_own, going_with, label_preference, log_ratio, own_side
from lib.scoring.inference.estimates import Estimate, Keys, clustered_mean
from lib.scoring.metrics import log_probabilities, normalise
from lib.scoring.probabilities import FloatArray

MOST_ROWS = 100_000
"""Rows that the report is of: of more, every second, third, … so that there are no more."""

_QUANTILES = 5
_ROWS_OF_QUANTILES = 50  # below which there are none
_MOST_VALUES = 20
_MARKS = ("headers", "lists", "bold")

Counts = Mapping[str, tuple[FloatArray, FloatArray]]
"""What is counted in texts -> in A's and in B's [n]: `length` in characters, and Markdown's marks."""


@dataclass(frozen=True, kw_only=True)
class BiasRows:
    """Some rows. probabilities: [n, 3], NaN where a row failed; labels: [n], -1 where unknown; keys: [n] of questions.

    counts: of both responses, None where their texts are not at hand. models: names [n] of A's and B's model, None
    where no row has any. groups: column -> its values [n]. Names and values may be None.
    """

    probabilities: FloatArray
    labels: LabelArray
    keys: Keys
    counts: Counts | None
    models: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None
    groups: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Scores on some of the rows. name: which; rows: scored ones; measured: with labels, on which the scores rest."""

    name: str
    rows: int
    measured: int
    scores: Mapping[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """How often a model wins, by the judge and by the labels (None without any): a tie is half a win.

    battles: with a verdict; each has two models.
    """

    model: str
    battles: int
    judge: Estimate
    labels: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Bias:
    """What was found; of what could not be looked at there is nothing. rows: scored ones that it is of.

    length, markdown: correlations of preferences with what A has more of. by_length: by the characters of both
    responses. own_family: the judge's, with the preference for its answers. groups: column -> the scores by its values.
    win_rates: of each model, the best first.
    """

    rows: int
    length: Contrast | None
    markdown: Contrast | None
    by_length: Sequence[Part]
    own_family: tuple[str, Contrast] | None
    groups: Mapping[str, Sequence[Part]]
    win_rates: Sequence[WinRate] = ()

    def __bool__(self) -> bool:
        found = (self.length, self.markdown, self.by_length, self.own_family, self.groups, self.win_rates)
        return any(found)

    def content(self) -> dict[str, Any]:
        """For JSON; only what there is."""
        found: dict[str, Any] = {"rows": self.rows}
        for name, one in (("length", self.length), ("markdown", self.markdown)):
            found |= {} if one is None else {name: _contrast(one)}
        if self.by_length:
            found["by_length"] = [_part(part) for part in self.by_length]
        if self.own_family is not None:
            name, preferred = self.own_family
            found["self_preference"] = {"family": name, **_contrast(preferred)}
        if self.win_rates:
            found["win_rates"] = [_win_rate(rate) for rate in self.win_rates]
        if self.groups:
            found["by"] = {column: [_part(part) for part in parts] for column, parts in self.groups.items()}
        return found


def measure_bias(blocks: Iterable[BiasRows], judge: str | None) -> Bias:
    """Put some rows, at most MOST_ROWS, together. judge: the name of its model."""
    parts = [_scored(block) for block in blocks]
    empty = BiasRows(
        probabilities=np.empty((0, 3)),
        labels=np.empty(0, np.int8),
        keys=np.empty(0, np.uint64),
        counts=None,
        models=None,
        groups={},
    )
    rows = _together(parts) if parts else empty
    p = normalise(rows.probabilities)
    said, labels = p[:, 0] - p[:, 1], label_preference(rows.labels)
    own: tuple[str, Contrast] | None = None
    if rows.models is not None and judge is not None and (ours := family(judge)) is not None:
        preferred = for_own(own_side(ours, *rows.models), said, labels, rows.keys)
        own = None if preferred is None else (ours, preferred)
    features = {} if rows.counts is None or not len(p) else _features(rows.counts)
    going = {name: going_with(feature, said, labels, rows.keys) for name, feature in features.items()}
    return Bias(
        rows=len(p),
        length=going.get("length"),
        markdown=going.get("markdown"),
        by_length=[] if rows.counts is None else _by_length(rows, rows.counts["length"]),
        own_family=own,
        groups={name: found for name, values in rows.groups.items() if (found := _by_value(rows, values))},
        win_rates=[] if rows.models is None else _win_rates(p, labels, rows.keys, rows.models),
    )


def _win_rates(
    p: FloatArray, labels: FloatArray, keys: Keys, models: tuple[npt.NDArray[Any], npt.NDArray[Any]]
) -> list[WinRate]:
    """p: [n, 3], normalised; labels: [n], as `label_preference` has them; keys: [n] of questions."""
    said = (1 + p[:, 0] - p[:, 1]) / 2
    wins = (1 + labels) / 2
    both = np.concatenate(models)
    named = np.array([name is not None for name in both], dtype=bool)
    names, numbers = np.unique(both[named].astype(str), return_inverse=True)
    number = np.full(len(both), -1)
    number[named] = numbers
    found = []
    for i, model in enumerate(names):
        sides = np.split(number == i, 2)
        group = np.concatenate([keys[side] for side in sides])
        judge = np.concatenate([said[sides[0]], 1 - said[sides[1]]])
        by_labels = np.concatenate([wins[sides[0]], 1 - wins[sides[1]]])
        known = ~np.isnan(by_labels)
        found.append(
            WinRate(
                model=str(model),
                battles=len(judge),
                judge=clustered_mean(judge, group),
                labels=clustered_mean(by_labels[known], group[known]) if known.any() else None,
            )
        )
    return sorted(found, key=lambda rate: (-rate.judge.value, rate.model))


def _features(counts: Counts) -> dict[str, FloatArray]:
    marks = [sum(counts[name][side] for name in _MARKS) for side in (0, 1)]
    return {"length": log_ratio(*counts["length"]), "markdown": log_ratio(*map(np.asarray, marks))}


def _by_length(rows: BiasRows, lengths: tuple[FloatArray, FloatArray]) -> list[Part]:
    """Scores by fifths of the measured rows; fewer where many rows are equally long."""
    length = lengths[0] + lengths[1]
    known = rows.labels >= 0
    if known.sum() < _ROWS_OF_QUANTILES:
        return []
    borders = np.unique(np.quantile(length[known], np.arange(1, _QUANTILES) / _QUANTILES, method="lower"))
    place = np.searchsorted(borders, length, side="left")
    found = []
    for number in range(len(borders) + 1):
        if (known & (place == number)).any():
            inside = length[place == number]
            name = f"{inside.min():,.0f} to {inside.max():,.0f} characters"
            found.append(_scores(name, rows, place == number))
    return found


def _by_value(rows: BiasRows, values: npt.NDArray[Any]) -> list[Part]:
    """Scores by the most frequent values, and of all others together; none where there are no labels or one value."""
    names = np.array(["–" if value is None else value for value in values.tolist()], object)
    different, number, often = np.unique(names, return_inverse=True, return_counts=True)
    if len(different) < 2 or not (rows.labels >= 0).any():
        return []
    order = np.argsort(-often, kind="stable")
    found = [_scores(str(different[place]), rows, number == place) for place in order[:_MOST_VALUES]]
    if len(rest := order[_MOST_VALUES:]):
        found.append(_scores(f"{len(rest):,} others", rows, np.isin(number, rest)))
    return found


def _scores(name: str, rows: BiasRows, inside: npt.NDArray[np.bool_]) -> Part:
    known = inside & (rows.labels >= 0)
    scores: dict[str, Estimate] = {}
    if known.any():
        clusters = ScoreClusters()
        p, labels = rows.probabilities[known], rows.labels[known]
        clusters.add(rows.keys[known], p, labels)
        hard = bool(np.isin(normalise(rows.probabilities), (0, 0.5, 1)).all())
        plain = {} if hard else {"log_loss": Estimate(float(-log_probabilities(p, labels).mean()))}
        scores = {**plain, **clusters.estimates(["accuracy"] if hard else ["log_loss", "accuracy"])}
    return Part(name=name, rows=int(inside.sum()), measured=int(known.sum()), scores=scores)


def _scored(block: BiasRows) -> BiasRows:
    return _taken(block, np.asarray(~np.isnan(block.probabilities).any(axis=1), dtype=np.bool_))


def _taken(rows: BiasRows, mask: npt.NDArray[np.bool_]) -> BiasRows:
    counts, models = rows.counts, rows.models
    return BiasRows(
        probabilities=rows.probabilities[mask],
        labels=rows.labels[mask],
        keys=rows.keys[mask],
        counts=None if counts is None else {name: (a[mask], b[mask]) for name, (a, b) in counts.items()},
        models=None if models is None else (models[0][mask], models[1][mask]),
        groups={name: values[mask] for name, values in rows.groups.items()},
    )


def _together(parts: Sequence[BiasRows]) -> BiasRows:
    first = parts[0]
    counts = [part.counts for part in parts if part.counts is not None]
    models = [part.models for part in parts if part.models is not None]
    counted = {name: _both([part[name] for part in counts]) for name in (counts[0] if counts else ())}
    return BiasRows(
        probabilities=np.concatenate([part.probabilities for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        keys=np.concatenate([part.keys for part in parts]),
        counts=counted if len(counts) == len(parts) else None,
        models=_both(models) if len(models) == len(parts) else None,
        groups={name: np.concatenate([part.groups[name] for part in parts]) for name in first.groups},
    )


def _both(pairs: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    a, b = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    return a, b


def _contrast(found: Contrast) -> dict[str, Any]:
    sides = {name: getattr(found, name) for name in ("judge", "labels", "more")}
    return {"rows": found.rows, **{name: None if one is None else _estimate(one) for name, one in sides.items()}}


def _win_rate(rate: WinRate) -> dict[str, Any]:
    labels = None if rate.labels is None else _estimate(rate.labels)
    return {"model": rate.model, "battles": rate.battles, "judge": _estimate(rate.judge), "labels": labels}


def _part(part: Part) -> dict[str, Any]:
    scores = {name: _estimate(one) for name, one in part.scores.items()}
    return {"name": part.name, "rows": part.rows, "measured": part.measured, **scores}


def _estimate(found: Estimate) -> dict[str, float | None]:
    return {"value": None if np.isnan(found.value) else found.value, "low": found.low, "high": found.high}
