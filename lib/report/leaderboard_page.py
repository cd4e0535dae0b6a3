"""The report of a leaderboard: ranking, intervals, chances against each other, categories, and how to read them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lib.report.charts import ratings_chart
from lib.report.heat_maps import chance_heat_map
from lib.report.page import Figure, Section, Table, render
from lib.report.tables import text_table
from lib.scoring.ranking.leaderboard import POSITION, Leaderboard
from lib.scoring.ranking.outcomes import RatingModel
from lib.scoring.ranking.ratings import Estimate

_SHOWN = 25  # rows on a terminal
_MODELS = {
    RatingModel.bradley_terry: "Bradley and Terry's model; a tie is half a win for both",
    RatingModel.davidson: "Davidson's model, with a parameter for ties",
    RatingModel.rao_kupper: "Rao and Kupper's model, with a parameter for ties",
    RatingModel.elo: "Elo's rating, vote after vote with K = 4",
}


def summary_lines(board: Leaderboard) -> list[str]:
    """The ranking as text, with what must be said about it."""
    rows = _rows(board)
    more = [f"… and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []
    return [text_table(_header(board), rows[:_SHOWN]), *more, *board.notes]


def render_leaderboard(
    board: Leaderboard,
    categories: Mapping[str, Leaderboard],
    refused: Mapping[str, str],
    title: str,
    details: Mapping[str, str],
) -> str:
    """The page as HTML. refused: why categories have no ranking, by their names."""
    found, order = board.ratings, board.ratings.order
    points = board.scale.points
    sections = [
        Section(
            heading="Ranking",
            text=[f"{_MODELS[found.model]}. Ranks are ranges where the votes do not tell models apart."],
            table=Table(header=_header(board), rows=_rows(board)),
        ),
        Section(
            heading="Ratings",
            text=[_intervals(board)],
            figure=Figure(
                svg=ratings_chart(
                    board.names,
                    points(found.ratings[order]),
                    points(found.low[order]),
                    points(found.high[order]),
                    title="rating",
                    centre=board.scale.origin,
                ),
                description="Rating of each model with its interval",
                wide=len(board.names) > _SHOWN,
                scrolls=len(board.names) > _SHOWN,
            ),
        ),
        Section(
            heading="Chances",
            text=[f"How likely the model of the row wins against that of the column{_with_ties(board)}."],
            figure=Figure(
                svg=chance_heat_map(board.names, board.chances()),
                description="Chance of each model against each other",
                wide=True,
                scrolls=True,
            ),
        ),
        *_parameters(board),
        *_categories(board, categories, refused),
        Section(heading="How to read it", text=_reading(board)),
        Section(heading="Details", table=Table(header=(), rows=list(details.items()), prose=True)),
    ]
    return render(title, board.notes, sections)


def _header(board: Leaderboard) -> tuple[str, ...]:
    against = "win rate" if board.baseline is None else f"against {board.baseline}"
    return ("model", "rank", "rating", "95 %", "votes", against)


def _rows(board: Leaderboard) -> list[tuple[str, ...]]:
    return [
        (
            row["model"],
            _rank(row, place),
            _points(row["rating"]),
            "–" if row["low"] is None else f"{_points(row['low'])} to {_points(row['high'])}",
            f"{row['votes']:,}",
            "–" if np.isnan(rate) else f"{rate:.1%}",
        )
        for place, (row, rate) in enumerate(zip(board.rows, board.win_rates, strict=True), 1)
    ]


def _rank(row: Mapping[str, Any], place: int) -> str:
    low, high = row["rank_low"], row["rank_high"]
    if low is None:
        return str(place)
    return str(low) if low == high else f"{low}–{high}"


def _points(value: float) -> str:
    return f"{round(value) + 0:,}"


def _intervals(board: Leaderboard) -> str:
    if board.intervals is None:
        return "There are no intervals."
    how = f"from {board.resamples:,} refits" if board.resamples else "by formula"
    dashed = "the mean" if board.anchor is None else f"the anchor, {board.anchor}"
    return f"Whiskers are 95 % intervals ({how}). Dashed: {dashed}."


def _with_ties(board: Leaderboard) -> str:
    if board.ratings.model is RatingModel.bradley_terry:
        return ", a tie being half a win"
    return ", ties apart" if board.ratings.tie is not None else ""


def _parameters(board: Leaderboard) -> list[Section]:
    found = board.ratings
    rows = [
        (
            "shown first" if name == POSITION else f"{name} (one standard deviation more)",
            f"{estimate.value:+.3f}",
            _range(estimate, "+.3f"),
        )
        for name, estimate in found.coefficients.items()
    ]
    if found.tie_parameter is not None:
        name = "ties (nu)" if found.model is RatingModel.davidson else "ties (theta)"
        rows.append((name, f"{found.tie_parameter.value:.3f}", _range(found.tie_parameter, ".3f")))
    if not rows:
        return []
    text = "What else decides votes. Effects are log-odds: +0.1 turns a chance of 50 % into 52.5 %, +1 into 73 %."
    return [Section(heading="Effects", text=[text], table=Table(header=("effect", "value", "95 %"), rows=rows))]


def _range(estimate: Estimate, form: str) -> str:
    return "–" if np.isnan(estimate.low) else f"{estimate.low:{form}} to {estimate.high:{form}}"


def _categories(board: Leaderboard, categories: Mapping[str, Leaderboard], refused: Mapping[str, str]) -> list[Section]:
    sections = []
    if categories:
        cells = {name: {row["model"]: row for row in each.rows} for name, each in categories.items()}
        places = {name: {model: n for n, model in enumerate(each.names, 1)} for name, each in categories.items()}
        rows = [
            (
                model,
                *(
                    f"{_points(cells[name][model]['rating'])} ({_rank(cells[name][model], places[name][model])})"
                    if model in cells[name]
                    else "–"
                    for name in categories
                ),
            )
            for model in board.names
        ]
        text = "Each category's votes ranked by themselves: rating, and rank in brackets."
        table = Table(header=("model", *categories), rows=rows)
        sections.append(Section(heading="Categories", text=[text], table=table))
    if refused:
        table = Table(header=("category", "why"), rows=list(refused.items()), prose=True)
        sections.append(Section(heading="Categories without a ranking", table=table))
    return sections


def _reading(board: Leaderboard) -> list[str]:
    tenfold = board.scale.tenfold
    lines = [
        f"Only differences of ratings mean something: {tenfold:g} points more are odds of 10 to 1, "
        f"{tenfold * np.log10(2):.0f} points are 2 to 1"
        + (
            "; odds are of wins to losses, ties apart."
            if board.ratings.model in (RatingModel.davidson, RatingModel.rao_kupper)
            else ", a tie being half a win for both."
        )
    ]
    if board.intervals is not None:
        lines += [
            "An interval holds the rating that all questions of this kind would give, in 95 of 100 such samples"
            + ("." if board.anchor is None else "; it is of the difference to the anchor, which has none itself."),
            "A rank of 2–5: at 95 %, one model is better than this one, and all but five are worse. Models may be told "
            "apart although their intervals overlap a little, since the interval of their difference counts.",
        ]
    lines.append(
        "The win rate is what a model would get against the others, each counted once"
        if board.baseline is None
        else f"The win rate is what a model would get against {board.baseline}"
    )
    lines[-1] += ", with half of each tie; it follows from the ratings, so whom a model has met does not matter."
    return lines
