"""The report of a tournament: ranking, wins, and the answers that were compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lib.data.answers import Answer
from lib.report.answers_page import answer_sections, stage_section
from lib.report.charts import ratings_chart
from lib.report.heat_maps import win_heat_map
from lib.report.page import Figure, Section, Table, render
from lib.report.tables import text_table
from lib.scoring.probabilities import IntArray
from lib.scoring.ranking.ratings import Ratings

_HEADER = ("system", "Davidson", "95 %", "Bradley-Terry", "won", "lost", "tied")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Of one battle. probabilities: that the first system's answer is better, the second's, neither; NaN: it failed."""

    first: str
    second: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Tournament:
    """What came out. wins: [s, s] of the row's system over the column's. scored: battles with a verdict.

    judge: whose verdicts these are. verdicts: of each question, by its id.
    """

    answers: Mapping[str, Mapping[str, Answer]]
    wins: IntArray
    ties: IntArray
    battles: int
    scored: int
    bradley_terry: Ratings
    davidson: Ratings
    judge: str
    verdicts: Mapping[str, Sequence[Verdict]]

    def content(self) -> dict[str, Any]:
        """For JSON; NaN, of intervals from one question, is null."""
        rated = self.davidson
        return {
            "judge": self.judge,
            "battles": self.battles,
            "scored": self.scored,
            "questions": rated.questions,
            "nu": 0.0 if rated.tie_parameter is None else rated.tie_parameter.value,
            "regularised": rated.regularised,
            "systems": [
                {
                    "name": rated.names[i],
                    "davidson": float(rated.ratings[i]),
                    "low": _number(rated.low[i]),
                    "high": _number(rated.high[i]),
                    "bradley_terry": float(self.bradley_terry.ratings[i]),
                    "won": int(self.wins[i].sum()),
                    "lost": int(self.wins[:, i].sum()),
                    "tied": int(self.ties[i]),
                }
                for i in rated.order
            ],
        }


def summary_lines(tournament: Tournament) -> list[str]:
    """The ranking as text, with what must be said about it."""
    return [text_table(_HEADER, _rows(tournament)), *_notes(tournament)]


def render_tournament(
    tournament: Tournament, title: str, stages: Sequence[Sequence[str]], details: Mapping[str, str]
) -> str:
    """The page as HTML. details: what the reader should know of the run."""
    rated = tournament.davidson
    order = rated.order
    names = [rated.names[i] for i in order]
    sections = [
        Section(
            heading="Ranking",
            text=["Ratings are log-odds with mean 0: two systems that are 1 apart win at odds of 2.7 to 1."],
            table=Table(header=_HEADER, rows=_rows(tournament)),
        ),
        Section(
            heading="Ratings",
            text=["Davidson's model; whiskers are 95 % intervals, where there are any."],
            figure=Figure(
                svg=ratings_chart(names, rated.ratings[order], rated.low[order], rated.high[order]),
                description="Rating of each system",
            ),
        ),
        Section(
            heading="Wins",
            text=["How often the system of the row beat that of the column; ties count for nobody."],
            figure=Figure(
                svg=win_heat_map(names, tournament.wins[np.ix_(order, order)]), description="Wins of row over column"
            ),
        ),
        *answer_sections(tournament.answers, {key: _verdict_table(some) for key, some in tournament.verdicts.items()}),
        *stage_section(stages),
        Section(heading="About this run", table=Table(header=(), rows=list(details.items()), prose=True)),
    ]
    return render(title, _notes(tournament), sections)


def _verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Of the battles about one question."""
    rows = []
    for verdict in verdicts:
        p = verdict.probabilities
        winner = "–" if np.isnan(p).any() else (verdict.first, verdict.second, "tie")[int(np.argmax(p))]
        shown = ["–" if np.isnan(each) else f"{each:.4f}" for each in p]
        rows.append((f"{verdict.first} : {verdict.second}", winner, *shown))
    return Table(header=("battle", "won by", "P(first)", "P(second)", "P(tie)"), rows=rows)


def _rows(tournament: Tournament) -> list[tuple[str, ...]]:
    return [
        (
            system["name"],
            _signed(system["davidson"]),
            "–" if system["low"] is None else f"{_signed(system['low'])} to {_signed(system['high'])}",
            _signed(system["bradley_terry"]),
            *(f"{system[key]:,}" for key in ("won", "lost", "tied")),
        )
        for system in tournament.content()["systems"]
    ]


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"  # no "-0.00"


def _notes(tournament: Tournament) -> list[str]:
    rated = tournament.davidson
    scored = f"{tournament.scored:,} of {tournament.battles:,}"
    lines = [
        f"{scored} battles about {rated.questions:,} questions were scored, by {tournament.judge}.",
        "Ratings come from the judge's probabilities, wins and losses from what was likeliest in each battle.",
    ]
    if rated.questions == 1:
        lines.append("One question says nothing about others, so there are no intervals.")
    if rated.regularised:
        lines.append("Some systems never lost, or never won: their ratings are held finite by a weak prior.")
    return lines


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
