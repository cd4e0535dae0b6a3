"""Comparisons of runs of battles in words and on a page: what differs, by how much, and where."""

from collections.abc import Sequence

import numpy as np

from lib.report.battles.comparison import Comparison, Differing
from lib.report.battles.wording import INTERVAL, ends, number, percent, with_ends
from lib.report.page import Section, Table, render
from lib.report.tables import text_table
from lib.scoring.inference.paired import DRAWS, EXACT_CLUSTERS

_NAMES = {"log_loss": "log loss", "accuracy": "accuracy", "brier": "Brier", "kappa": "kappa"}
_LESS_IS_BETTER = ("log_loss", "brier")
_HEADER = ("", "first", "second", "difference", INTERVAL, "p")


def comparison_lines(comparisons: Sequence[Comparison], metric: str) -> list[str]:
    """For the terminal: a table for two runs, a line each for the pairs of more."""
    lines = []
    for found in comparisons:
        lines += [f"first {found.first}, second {found.second}", *_rows_lines(found)]
        if found.scores and len(comparisons) == 1:
            lines.append(text_table(_HEADER, _score_rows(found)))
        lines += _finding(found, metric)
    return [*lines, *_notes(comparisons)]


def render_comparisons(comparisons: Sequence[Comparison], metric: str, title: str) -> str:
    """The page as HTML."""
    sections = []
    for found in comparisons:
        heading = f"{found.first} and {found.second}"
        text = [*_rows_lines(found), *_finding(found, metric)]
        table = Table(header=_HEADER, rows=_score_rows(found)) if found.scores else None
        sections.append(Section(heading=heading, text=text, table=table))
        if found.differ_most:
            sections.append(
                Section(
                    heading="Where they differ most",
                    text=["Distance: how much probability the two put elsewhere, from 0 to 1."],
                    table=_differing(found.differ_most),
                )
            )
    lead = ["Differences are of the first less the second, on the rows that both scored.", *_notes(comparisons)]
    return render(title, lead, sections)


def _score_rows(found: Comparison) -> list[tuple[str, ...]]:
    return [
        (
            _NAMES[name],
            number(one.first.value),
            number(one.second.value),
            _signed(one.difference.value),
            ends(one.difference),
            _p(one.p),
        )
        for name, one in found.scores.items()
    ]


def _rows_lines(found: Comparison) -> list[str]:
    kappa = "" if np.isnan(found.kappa.value) else f", kappa {with_ends(found.kappa.value, found.kappa)}"
    said = f"{found.rows:,} rows scored by both, {found.measured:,} of them with labels"
    agreed = f"Their verdicts agree on {percent(found.agreement.value, found.agreement)} of the rows{kappa}."
    about = f", about {found.clusters:,} questions" if found.by == "question" else ""
    return [f"{said}{about}.", agreed]


def _finding(found: Comparison, metric: str) -> list[str]:
    """What is shown, in a sentence, of the one score that was asked for."""
    if not found.scores:
        return ["Without labels nothing tells which is better."]
    one = found.scores.get(metric)
    if one is None:
        return [f"There is no {_NAMES[metric]} of both, so no difference in it."]
    name = _NAMES[metric]
    difference = f"{_signed(one.difference.value)} ({ends(one.difference)}), p {_p(one.p)}"
    if not one.shown:
        return [f"No difference in {name} shown: {difference}."]
    better = found.first if (one.difference.value < 0) is (metric in _LESS_IS_BETTER) else found.second
    return [f"{better} is better in {name}: {difference}."]


def _notes(comparisons: Sequence[Comparison]) -> list[str]:
    exact = all(found.clusters <= EXACT_CLUSTERS for found in comparisons)
    how = "all exchanges" if exact else f"{DRAWS:,} drawn exchanges"
    lines = []
    if any(found.scores for found in comparisons):
        lines.append(f"p: by {how} of the two runs' answers, one {comparisons[0].by} at a time.")
        if len(comparisons) > 1:
            lines.append(f"There are {len(comparisons)} pairs: by chance one in twenty has a p below 0.05.")
    return lines


def _differing(rows: Sequence[Differing]) -> Table:
    """Texts have a column where any are at hand."""
    texts = ["\n".join(f"{name}: {text}" for name, text in row.texts.items()) for row in rows]
    header = ["row", "label", "first: A, B, tie", "second: A, B, tie", "distance", *(["texts"] if any(texts) else [])]
    cells = [
        (row.name, row.label or "–", _three(row.first), _three(row.second), f"{row.distance:.3f}", text or "–")
        for row, text in zip(rows, texts, strict=True)
    ]
    return Table(header=header, rows=[row[: len(header)] for row in cells], prose=True)


def _three(probabilities: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in probabilities)


def _signed(value: float) -> str:
    return f"{round(value, 4) + 0.0:+.4f}"


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else "< 0.0001"
