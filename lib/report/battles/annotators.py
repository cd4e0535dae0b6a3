"""How far annotators agree: measured, in words, and on a page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from lib.data.battle_files.annotations import Annotations, RatingKind
from lib.errors import InputError
from lib.report.battles.wording import ends, number, with_ends
from lib.report.page import Section, Table, render
from lib.report.tables import text_table
from lib.scoring.agreement import (
    Scale,
    Weights,
    cohen,
    coincidences,
    fleiss,
    fleiss_rows,
    krippendorff,
    paired_rows,
)
from lib.scoring.inference.estimates import ClusterSums, Estimate, Keys, as_share, estimate
from lib.scoring.probabilities import FloatArray

MOST_IN_PAIRS = 30
"""Annotators, those with most ratings, of whom every two are compared."""

_HEADER = ("annotators", "items", "agreement", "kappa", "95 %", "linear", "quadratic")


@dataclass(frozen=True, kw_only=True)
class TwoAnnotators:
    """On the items that both rated. kappas: Cohen's, by the name of its weights; weighted where there is an order."""

    first: str
    second: str
    items: int
    agreement: Estimate
    kappas: Mapping[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Of all annotators. rated: items with two ratings or more, on which all rests; clusters: how many questions, or
    items, these are. fleiss: None where items have unequally many ratings. alphas: Krippendorff's, by scale. A figure
    is NaN where chance explains all."""

    annotators: int
    items: int
    rated: int
    ratings: int
    kind: RatingKind
    categories: tuple[str, ...]
    by: str
    clusters: int
    fleiss: Estimate | None
    alphas: Mapping[str, Estimate]
    pairs: tuple[TwoAnnotators, ...]

    def content(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **{name: getattr(self, name) for name in ("annotators", "items", "rated", "ratings", "by", "clusters")},
            "kind": self.kind.value,
            "categories": list(self.categories),
            "fleiss_kappa": None if self.fleiss is None else _content(self.fleiss),
            "krippendorff_alpha": {name: _content(found) for name, found in self.alphas.items()},
            "pairs": [
                {
                    "annotators": [pair.first, pair.second],
                    "items": pair.items,
                    "agreement": _content(pair.agreement),
                    "cohen_kappa": {name: _content(found) for name, found in pair.kappas.items()},
                }
                for pair in self.pairs
            ],
        }


def measure_agreement(found: Annotations) -> Agreement:
    """Fleiss's kappa, Krippendorff's alpha, and Cohen's kappa of every two. Raises InputError where no item has two
    ratings."""
    k, ordered = len(found.categories), found.kind is not RatingKind.words
    counts = np.zeros((len(found.items), k))
    np.add.at(counts, (found.item, found.category), 1)
    several = counts.sum(axis=1) > 1
    if not several.any():
        raise InputError("annotations: no item has ratings by two annotators, so nothing tells how far they agree")
    counts, keys = counts[several], found.questions[several]
    coincident = _by_cluster(keys, coincidences(counts))
    scales = [scale for scale in Scale if ordered or scale is Scale.nominal]
    equally_many = len(np.unique(counts.sum(axis=1))) == 1
    return Agreement(
        annotators=len(found.annotators),
        items=len(found.items),
        rated=int(several.sum()),
        ratings=len(found.item),
        kind=found.kind,
        categories=tuple(found.categories),
        by="question" if found.by_question else "item",
        clusters=len(coincident),
        fleiss=_estimate(fleiss, _by_cluster(keys, fleiss_rows(counts))) if equally_many else None,
        alphas={scale.value: _estimate(krippendorff(found.values, scale), coincident) for scale in scales},
        pairs=_pairs(found, k, list(Weights) if ordered and k > 2 else [Weights.none]),
    )


def agreement_lines(found: Agreement) -> list[str]:
    """For the terminal."""
    return [
        *_lead(found),
        *(f"{name}: {value}" for name, value in _overall(found)),
        text_table(_HEADER, _pair_rows(found)),
        *_notes(found),
    ]


def render_agreement(found: Agreement, title: str) -> str:
    """The page as HTML."""
    sections = [
        Section(
            heading="All annotators",
            text=["1: they always agree; 0: as often as by chance. Alpha takes items with any number of ratings."],
            table=Table(header=("", "value (95 %)"), rows=_overall(found)),
        ),
        Section(
            heading="Every two",
            text=["Cohen's kappa; weighted by the distance of ratings, or its square, where they have an order."],
            table=Table(header=_HEADER, rows=_pair_rows(found)),
        ),
    ]
    return render(title, [*_lead(found), *_notes(found)], sections)


def _pairs(found: Annotations, k: int, weights: list[Weights]) -> tuple[TwoAnnotators, ...]:
    often = np.bincount(found.annotator, minlength=len(found.annotators))
    some = np.sort(np.argsort(-often, kind="stable")[:MOST_IN_PAIRS]).tolist()
    rows = {one: np.full(len(found.items), -1, np.int64) for one in some}
    for one in some:
        mine = found.annotator == one
        rows[one][found.item[mine]] = found.category[mine]
    pairs = []
    for one, other in combinations(some, 2):
        both = (rows[one] >= 0) & (rows[other] >= 0)
        if not both.any():
            continue
        sums = _by_cluster(found.questions[both], paired_rows(rows[one][both], rows[other][both], k))
        pairs.append(
            TwoAnnotators(
                first=found.annotators[one],
                second=found.annotators[other],
                items=int(both.sum()),
                agreement=as_share(estimate(_share(k), sums), len(sums)),
                kappas={each.value: _estimate(cohen(k, each), sums) for each in weights},
            )
        )
    return tuple(pairs)


def _share(k: int) -> Callable[[FloatArray], FloatArray]:
    return lambda totals: np.asarray(totals[..., :: k + 1].sum(axis=-1) / totals.sum(axis=-1))


def _by_cluster(keys: Keys, rows: FloatArray) -> FloatArray:
    clusters = ClusterSums(rows.shape[1])
    clusters.add(keys, rows)
    return clusters.sums


def _estimate(figure: Callable[[FloatArray], FloatArray], sums: FloatArray) -> Estimate:
    """A figure with its interval; none where all agree, since the clusters then differ in nothing."""
    found = estimate(figure, sums)
    if found.low is None or found.high is None or found.value >= 1:
        return Estimate(found.value)
    return Estimate(found.value, max(found.low, -1.0), min(found.high, 1.0))


def _lead(found: Agreement) -> list[str]:
    order = "" if found.kind is RatingKind.words else ", in this order"
    return [
        f"{found.ratings:,} ratings of {found.items:,} items by {found.annotators:,} annotators; {found.rated:,} items "
        "have two or more.",
        f"They are {found.kind.value}: {', '.join(found.categories)}{order}.",
    ]


def _overall(found: Agreement) -> list[tuple[str, str]]:
    rows = [(f"Krippendorff's alpha, {name}", _shown(one)) for name, one in found.alphas.items()]
    missing = "– (items have unequally many ratings)"
    return [("Fleiss's kappa", missing if found.fleiss is None else _shown(found.fleiss)), *rows]


def _notes(found: Agreement) -> list[str]:
    lines = [f"Intervals: 95 %, by {found.by} ({found.clusters:,})."]
    if found.annotators > MOST_IN_PAIRS:
        lines.append(f"Every two of the {MOST_IN_PAIRS} annotators with most ratings.")
    return lines


def _pair_rows(found: Agreement) -> list[tuple[str, ...]]:
    return [
        (
            f"{pair.first}, {pair.second}",
            f"{pair.items:,}",
            number(pair.agreement.value),
            *_cells(pair.kappas["none"]),
            *(_cells(pair.kappas[name])[0] if name in pair.kappas else "–" for name in ("linear", "quadratic")),
        )
        for pair in found.pairs
    ]


def _cells(found: Estimate) -> tuple[str, str]:
    return (number(None if np.isnan(found.value) else found.value), ends(found))


def _shown(found: Estimate) -> str:
    return "–" if np.isnan(found.value) else with_ends(found.value, found)


def _content(found: Estimate) -> dict[str, float | None]:
    return {"value": None if np.isnan(found.value) else found.value, "low": found.low, "high": found.high}
