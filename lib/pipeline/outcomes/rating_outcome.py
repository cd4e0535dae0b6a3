"""Ratings of systems from the judged battles between their answers."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lib.data import parquet
from lib.data.atomic import write_text
from lib.data.manifest import read_manifest
from lib.data.run_folder import METRICS, REPORT, RESULT, read_config
from lib.pipeline.answers_of_runs import read_all_answers
from lib.pipeline.outcomes.base import EvaluateConfig, Outcome, print_places
from lib.pipeline.outcomes.run_details import run_details
from lib.report.tournament_page import Tournament, Verdict, render_tournament, summary_lines
from lib.scoring.probabilities import IntArray
from lib.scoring.ranking.outcomes import RatingModel
from lib.scoring.ranking.ratings import rate
from lib.scoring.ranking.votes import Votes, wins
from lib.types import PROBABILITIES


class RatingOutcome(Outcome):
    """Of tournaments."""

    def report(self, folder: Path) -> None:
        """The ranking, and the answers that were compared."""
        rank(folder)

    def evaluate(self, folder: Path, config: EvaluateConfig) -> None:
        """The report again."""
        self.report(folder)


RATINGS = RatingOutcome()


def rank(folder: Path, stages: Sequence[Sequence[str]] = ()) -> None:
    """Ratings from the judged battles in a run folder: writes its `metrics.json` and `report.html`, and prints them.

    stages: rows of the report's table of what was done before.
    """
    answers = read_all_answers(read_config(folder)["tournament"]["answers"])
    manifest = read_manifest(folder)
    (drawn,) = manifest.inputs
    battles = parquet.read(Path(drawn.source), ["model_a", "model_b", "question"])
    result = parquet.read(folder / RESULT, ["row", *PROBABILITIES])
    battles = battles.take(result["row"])
    names = tuple(answers)
    number = {name: i for i, name in enumerate(names)}
    first, second = ([number[name] for name in battles[column].to_pylist()] for column in ("model_a", "model_b"))
    outcomes = np.column_stack([result[name].to_numpy() for name in PROBABILITIES]).astype(np.float64)
    asked = battles["question"].to_pylist()
    questions = {key: i for i, key in enumerate(dict.fromkeys(asked))}
    judged = Votes(
        names=names,
        first=np.array(first, np.int64),
        second=np.array(second, np.int64),
        outcomes=outcomes,
        question=np.array([questions[key] for key in asked], np.int64),
    )
    won = wins(judged)
    tournament = Tournament(
        answers=answers,
        wins=won,
        ties=_ties(judged, won),
        battles=len(outcomes),
        scored=int(judged.scored.sum()),
        bradley_terry=rate(judged, RatingModel.bradley_terry),
        davidson=rate(judged, RatingModel.davidson),
        judge=str(manifest.identity.get("engine.model") or manifest.identity["engine.type"].removesuffix("Config")),
        verdicts=_verdicts(judged, asked),
    )
    details = run_details(manifest, folder)
    write_text(folder / METRICS, json.dumps(tournament.content(), indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    write_text(folder / REPORT, render_tournament(tournament, f"tournament: {folder.name}", stages, details))
    print("\n".join(summary_lines(tournament)))
    print_places(folder)


def _verdicts(judged: Votes, asked: Sequence[str]) -> dict[str, list[Verdict]]:
    """Those of each question. asked: which one each battle was about."""
    found: dict[str, list[Verdict]] = {}
    for question, first, second, outcome in zip(
        asked, judged.first, judged.second, judged.outcomes.tolist(), strict=True
    ):
        one, other = judged.names[first], judged.names[second]
        found.setdefault(question, []).append(Verdict(first=one, second=other, probabilities=tuple(outcome)))
    return found


def _ties(judged: Votes, won: IntArray) -> IntArray:
    """[s] scored battles of each system that nobody won."""
    return np.asarray(judged.counts() - won.sum(axis=0) - won.sum(axis=1))
