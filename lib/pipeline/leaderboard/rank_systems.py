"""From votes to leaderboards: of all votes, and of each category."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.data.atomic import write_text
from lib.data.run_folder import METRICS, REPORT
from lib.errors import ConfigError, InputError, OvernightError
from lib.pipeline.leaderboard.ballots import Ballots
from lib.pipeline.leaderboard.leaderboard_config import LeaderboardConfig
from lib.pipeline.outcomes.base import print_places
from lib.report.leaderboard_page import render_leaderboard, summary_lines
from lib.scoring.ranking.leaderboard import Leaderboard
from lib.scoring.ranking.ratings import rate

LEADERBOARD = "leaderboard.json"
_MOST_CATEGORIES = 200


@dataclass(frozen=True, kw_only=True)
class Rankings:
    """overall: of all votes. categories: of each category's votes by its name; where these can't be ranked, why."""

    overall: Leaderboard
    categories: Mapping[str, Leaderboard | str]


def ranked(ballots: Ballots, config: LeaderboardConfig) -> Rankings:
    """Leaderboards of votes. Raises ConfigError and InputError as `rate` does, where all votes can't be ranked."""
    if len(ballots.categories) > _MOST_CATEGORIES:
        raise ConfigError(
            f"leaderboard.category={config.category}: has {len(ballots.categories):,} different values, more than the "
            f"{_MOST_CATEGORIES} that a page can show; name a column of kinds"
        )
    overall = _leaderboard(ballots, config, None)
    categories: dict[str, Leaderboard | str] = {}
    for name in sorted(ballots.categories):
        try:
            categories[name] = _leaderboard(ballots, config, ballots.categories.index(name))
        except OvernightError as error:
            categories[name] = str(error)
    return Rankings(overall=overall, categories=categories)


def write_rankings(rankings: Rankings, out: Path, title: str, details: Mapping[str, str]) -> None:
    """Write `leaderboard.json`, one more for each category, `metrics.json` and `report.html`, and print the ranking."""
    out.mkdir(parents=True, exist_ok=True)
    _write(out / LEADERBOARD, rankings.overall.rows)
    content: dict[str, Any] = rankings.overall.content()
    if rankings.categories:
        content["categories"] = {}
    names: set[str] = set()
    for category, found in rankings.categories.items():
        if isinstance(found, str):
            content["categories"][category] = {"refused": found}
            continue
        path = out / _file_name(category, names)
        _write(path, found.rows)
        content["categories"][category] = {"file": path.name, **found.content()}
    _write(out / METRICS, content)
    ranked = {name: found for name, found in rankings.categories.items() if isinstance(found, Leaderboard)}
    refused = {name: found for name, found in rankings.categories.items() if isinstance(found, str)}
    write_text(out / REPORT, render_leaderboard(rankings.overall, ranked, refused, title, details))
    print("\n".join(summary_lines(rankings.overall)))
    print(f"leaderboard: {out / LEADERBOARD}")
    print_places(out)


def _leaderboard(ballots: Ballots, config: LeaderboardConfig, category: int | None) -> Leaderboard:
    votes = ballots.votes(config.styles, position=config.position, category=category)
    if not len(votes.first):
        left_out = ", ".join(f"{count:,} {why}" for why, count in ballots.left_out.items())
        raise InputError(f"no vote counts{f' (left out: {left_out})' if left_out else ''}")
    found = rate(votes, config.model, anchor=config.anchor_name, resamples=config.bootstrap, seed=config.seed)
    return Leaderboard(
        ratings=found,
        scale=config.points,
        anchor=config.anchor,
        baseline=config.baseline,
        resamples=config.bootstrap,
        left_out=ballots.left_out if category is None else {},
        without=tuple(name for name in config.styles if name not in votes.covariates),
    )


def _file_name(category: str, taken: set[str]) -> str:
    """`leaderboard-<category>.json`, of letters that any file system has, and numbered where two would be alike."""
    stem = re.sub(r"[^\w.-]+", "_", category)[:60] or "_"
    name, number = stem, 2
    while name.casefold() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.casefold())
    return f"leaderboard-{name}.json"


def _write(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
