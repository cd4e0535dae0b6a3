"""Tournaments: battles between the answers of several systems, judged, and the ratings that follow."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.answers import Answer, read_answers
from lib.data.atomic import atomic_path, write_text
from lib.data.merging import RESULT
from lib.data.rows.battles import BattlesConfig, Turns
from lib.errors import ConfigError, InputError
from lib.log import log
from lib.report.battles_page import METRICS, REPORT
from lib.report.tournament_page import Tournament, render_tournament, summary_lines
from lib.scoring.pairings import pairings
from lib.scoring.probabilities import IntArray
from lib.scoring.ratings import Battles, bradley_terry, davidson, wins


@dataclass(frozen=True, kw_only=True)
class TournamentConfig:
    """Who meets whom. answers: name of a system -> its folder of `jobs.generate` (with the column `question`).

    pairs: battles for each question, drawn so that all meet equally often; null: all pairs. seed: of that draw.
    """

    answers: dict[str, str] = field(default_factory=dict)
    pairs: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pairs is not None and self.pairs < 1:
            raise ConfigError(f"tournament.pairs={self.pairs}: must be at least 1, or null for all")


@dataclass(frozen=True)
class Draw:
    """Who meets whom, and about what. battles: the file that holds them."""

    answers: Mapping[str, Mapping[str, Answer]]
    battles: BattlesConfig


def draw(config: TournamentConfig, folder: Path) -> Draw:
    """Read the answers and write the battles between them into a folder, in a file that is called after its content.

    A question that a system failed is no battle of that system; this is said in the log.
    Raises ConfigError for fewer than two systems, InputError where systems answered other questions.
    """
    if len(config.answers) < 2:
        raise ConfigError(
            f"tournament.answers={dict(config.answers)}: needs two systems or more, as in "
            "++tournament.answers.one=DIR ++tournament.answers.other=DIR"
        )
    answers = {name: read_answers(name, place) for name, place in config.answers.items()}
    _require_same_questions(answers)
    names, questions = list(answers), list(next(iter(answers.values())))
    meetings = pairings(len(names), len(questions), pairs=config.pairs, seed=config.seed)
    rows = []
    for question, first, second in meetings.tolist():
        key, (a, b) = questions[question], (names[first], names[second])
        one, other = answers[a][key], answers[b][key]
        if one.text is not None and other.text is not None:
            rows.append((f"{key}/{a}/{b}", one.question, one.text, other.text, a, b, key))
    if left_out := len(meetings) - len(rows):
        log.warning("%s of %s battles are left out, since an answer failed", left_out, len(meetings))
    if not rows:
        raise InputError("tournament.answers: no question was answered by two systems, so there is no battle")
    columns = ("id", "prompt", "response_a", "response_b", "model_a", "model_b", "question")
    table = pa.table([pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)], names=columns)
    digest = hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
    path = folder / f"battles-{digest[:8]}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
    return Draw(answers, BattlesConfig(path=str(path), turns=Turns.text))


def rate(found: Draw, folder: Path, stages: Sequence[Sequence[str]]) -> Tournament:
    """Ratings from the judged battles in a run folder; writes its `metrics.json` and `report.html`.

    stages: rows of the report's table of what was done.
    """
    battles = pq.read_table(found.battles.path, columns=["model_a", "model_b", "question"])
    result = pq.read_table(folder / RESULT, columns=["row", "p_a", "p_b", "p_tie"])
    battles = battles.take(result["row"])
    names = tuple(found.answers)
    number = {name: i for i, name in enumerate(names)}
    first, second = ([number[name] for name in battles[column].to_pylist()] for column in ("model_a", "model_b"))
    outcomes = np.column_stack([result[name].to_numpy() for name in ("p_a", "p_b", "p_tie")]).astype(np.float64)
    questions = {key: i for i, key in enumerate(dict.fromkeys(battles["question"].to_pylist()))}
    judged = Battles(
        names=names,
        first=np.array(first, np.int64),
        second=np.array(second, np.int64),
        outcomes=outcomes,
        question=np.array([questions[key] for key in battles["question"].to_pylist()], np.int64),
    )
    won = wins(judged)
    tournament = Tournament(
        answers=found.answers,
        wins=won,
        ties=_ties(judged, won),
        battles=len(outcomes),
        scored=int(judged.scored.sum()),
        bradley_terry=bradley_terry(judged),
        davidson=davidson(judged),
    )
    write_text(folder / METRICS, json.dumps(tournament.content(), indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    write_text(folder / REPORT, render_tournament(tournament, f"tournament: {folder.name}", stages))
    return tournament


def print_tournament(tournament: Tournament, folder: Path) -> None:
    """The ranking, and where the rest is."""
    print("\n".join(summary_lines(tournament)))
    print(f"metrics:    {folder / METRICS}")
    print(f"report:     {folder / REPORT}")


def _ties(judged: Battles, won: IntArray) -> IntArray:
    """[s] scored battles of each system that nobody won."""
    sides = np.concatenate([judged.first[judged.scored], judged.second[judged.scored]])
    return np.asarray(np.bincount(sides, minlength=len(judged.names)) - won.sum(axis=0) - won.sum(axis=1))


def _require_same_questions(answers: Mapping[str, Mapping[str, Answer]]) -> None:
    (first, own), *others = answers.items()
    for name, theirs in others:
        if missing := [key for key in own if key not in theirs] + [key for key in theirs if key not in own]:
            raise InputError(f"tournament.answers: {first} and {name} do not both answer question {missing[0]!r}")
        for key, answer in own.items():
            if theirs[key].question != answer.question:
                raise InputError(
                    f"tournament.answers: question {key!r} is another one for {name} ({theirs[key].question!r}) than "
                    f"for {first} ({answer.question!r})"
                )
