"""Drawing a tournament: battles between the answers of several systems to the same questions."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from lib.data import parquet
from lib.data.answers import Answer
from lib.data.rows.battles import BattleColumns, BattlesConfig, Turns
from lib.errors import ConfigError, InputError
from lib.log import log
from lib.pipeline.answers_of_runs import read_all_answers
from lib.scoring.ranking.pairings import pairings
from lib.types import BATTLE_TEXTS


@dataclass(frozen=True, kw_only=True)
class TournamentConfig:
    """Who meets whom. answers: name of a system -> its folder of `jobs.generate`.

    What was asked is the column `question` of its result, else the slot `question` of its prompt, or the only slot.

    pairs: battles for each question, drawn so that all meet equally often; null: all pairs. seed: of that draw.
    """

    answers: dict[str, str] = field(default_factory=dict)
    pairs: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pairs is not None and self.pairs < 1:
            raise ConfigError(f"tournament.pairs={self.pairs}: must be at least 1, or null for all")


def draw_battles(config: TournamentConfig, folder: Path) -> BattlesConfig:
    """Write the battles between systems' answers into a folder, in a file that is called after its content.

    A question that a system failed is no battle of that system; this is said in the log.
    Raises ConfigError for fewer than two systems, InputError where systems answered other questions.
    """
    if len(config.answers) < 2:
        raise ConfigError(
            f"tournament.answers={dict(config.answers)}: needs two systems or more, as in "
            "++tournament.answers.one=DIR ++tournament.answers.other=DIR"
        )
    answers = read_all_answers(config.answers)
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
    columns = ("id", *BATTLE_TEXTS, "model_a", "model_b", "question")
    table = pa.table([pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)], names=columns)
    digest = hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
    path = folder / f"battles-{digest[:8]}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        parquet.write(table, path)
    return BattlesConfig(path=str(path), turns=Turns.text, columns=BattleColumns(question="question"))


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
