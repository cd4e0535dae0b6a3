"""Whatever a store holds, and however it came there: a run's result is that of a run from nothing.

Cases are drawn at random, each by its number: inputs, what the store holds, what is asked, and how small the parts are
into which rows are divided. `CASES` of them are tried in the fast lane; raise it for a longer search.
"""

import csv
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lib.data.joining import run_rows, shuffle
from lib.data.joining.keys import KEY, content_keys, equal_keys
from lib.data.reading.input_file import all_rows
from lib.data.reading.intake import take_in
from lib.data.rows.base import OnBadRow, Rows
from lib.data.rows.battles import BattlesConfig
from lib.data.rows.table import TableConfig, open_table
from lib.data.run_folder import RESULT
from lib.data.submission import OnFailed, SubmissionConfig, write_submission
from lib.engines.dummy import DummyConfig
from lib.pipeline.executors.inline import InlineConfig
from lib.pipeline.planning import division
from lib.pipeline.result_rows import result_rows
from lib.pipeline.run import Recipe, Run
from lib.pipeline.run_config import RunConfig
from lib.store import segment
from lib.store.store import Store, StoreConfig
from lib.store.upkeep import compact
from lib.tasks.base import AnyTask
from lib.tasks.embedding import Embed, EmbedConfig
from lib.tasks.generation import Generate
from lib.tasks.pairwise import Pairwise, PairwiseConfig, Swap
from lib.tasks.passage_columns import BESIDE
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.tasks.reranking import FIELDS, JudgeRelevance, RerankConfig
from lib.tasks.reward import ArenaConfig, Reward
from lib.tasks.sampling import SamplingConfig
from lib.tasks.written.written_verdict import WrittenVerdict
from lib.types import BATTLE_TEXTS

CASES = 8

ENGINE = DummyConfig(max_model_len=512, fail_on="POISON")
JUDGE = PromptConfig(template="Q:{prompt} 1:{response_a} 2:{response_b}", labels=["A", "B", "tie"], chat=Chat.never)
ASKED = PromptConfig(template="{question}", chat=Chat.never)
RELEVANCE = PromptConfig(template="{question}?{passage}", labels=["yes", "no"], chat=Chat.never)
VERDICTS = SamplingConfig(temperature=1.0, n=2, max_new_tokens=8, choice=["A", "B", "tie", "neither of both"])
TASKS: Mapping[str, AnyTask] = {
    "judge": Pairwise(PairwiseConfig(min_label_mass=0, temperature=1.5), JUDGE),
    "one order": Pairwise(PairwiseConfig(min_label_mass=0, swap=Swap.none), JUDGE),
    "text": WrittenVerdict(PairwiseConfig(tie_offset=0.5), VERDICTS, JUDGE),
    "arena": Reward(ArenaConfig()),
    "draws": Generate(SamplingConfig(temperature=1.0, n=2, max_new_tokens=16), ASKED),
    "greedy": Generate(SamplingConfig(max_new_tokens=16), ASKED),
    "embed": Embed(EmbedConfig(text="{question}!"), "", 16),
    "rerank": JudgeRelevance(RerankConfig(min_label_mass=0, top_n=2), RELEVANCE),
}
BATTLE_TASKS = ("judge", "one order", "text", "arena")

POOL = 14  # different rows there are, of which inputs are made
POISON, BAD = 3, 5  # those that fail, and those that can't be used


_LISTS = pa.list_(pa.string())
_OF_LISTS = (*BATTLE_TEXTS, "passages", "passage_ids")


@dataclass(frozen=True)
class Job:
    """A task, and the rows that it is about."""

    name: str
    task: AnyTask
    options: Mapping[str, Any]

    def recipe(self, path: Path) -> Recipe:
        """About the files of a folder."""
        given: dict[str, Any] = {"path": str(path), "on_bad_row": OnBadRow.record, **self.options}
        if self.name in BATTLE_TASKS:
            data: Rows = BattlesConfig(**given)
        elif self.name == "rerank":
            data = open_table(TableConfig(**given), FIELDS, BESIDE)
        else:
            data = open_table(TableConfig(**given), ["question"])
        return Recipe(data=data, engine=ENGINE, task=self.task)


def write_input(job: Job, folder: Path, files: list[list[int]], draw: random.Random) -> Path:
    """Files of rows that are numbers of the pool; ids are as they come, and columns beside are drawn."""
    folder.mkdir()
    count = 0
    rerank, battles = job.name == "rerank", job.name in BATTLE_TASKS
    beside = draw.random() < 0.5
    for number, rows in enumerate(files):
        lines: list[dict[str, Any]] = []
        for row in rows:
            count += 1
            text = f"text {row}" + (" POISON" if row == POISON else "")
            line: dict[str, Any] = {"id": str(count)}
            if battles:
                texts = [[text, "again"][: 1 + row % 2], [f"a {row}"], [f"b {row % 4}"]]
                line |= dict(zip(BATTLE_TEXTS, texts, strict=True))
                line |= dict(
                    zip(
                        ("winner_model_a", "winner_model_b", "winner_tie"),
                        [[1, 0, 0], [0, 1, 0]][count % 2],
                        strict=True,
                    )
                )
            else:
                line |= {"question": text, "note": f"note {count}"}
            if rerank:
                line["passages"] = [f"p{(row + place) % 5}" for place in range(row % 4)]
                line |= {"passage_ids": [f"{count}-{n}" for n in range(row % 4)]} if beside else {}
            if row == BAD:
                line["prompt" if battles else "question"] = None
            lines.append(line)
        kind = draw.choice(["parquet"] if rerank else ["csv", "parquet", "jsonl"])
        path = folder / f"{number}.{kind}"
        if kind == "parquet":
            schema = pa.schema([(key, _LISTS if key in _OF_LISTS else pa.string()) for key in lines[0]])
            lines = [{k: str(v) if isinstance(v, int) else v for k, v in line.items()} for line in lines]
            pq.write_table(pa.Table.from_pylist(lines, schema), path, row_group_size=draw.choice([3, 1000]))
        elif kind == "jsonl":
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        else:
            with path.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(lines[0])
                for line in lines:
                    writer.writerow(
                        [json.dumps(c) if isinstance(c, list) else "" if c is None else c for c in line.values()]
                    )
    return folder


def finished(job: Job, path: Path, folder: Path, store: Path | None, shard_rows: int) -> Run:
    """A run from its plan to its merged result."""
    config = RunConfig(dir=str(folder), shard_rows=shard_rows, max_error_rate=1)
    stored = StoreConfig(dir=None if store is None else str(store))
    run = Run.open("job", config, job.recipe(path), store=stored)
    run.work(InlineConfig())
    run.merge()
    return run


def outcome(job: Job, run: Run) -> tuple[pa.Table, bytes]:
    """All columns of a run's result, and its submission."""
    if job.name not in BATTLE_TASKS:
        return pq.read_table(run.folder / RESULT), b""
    path = run.folder / "submission.csv"
    write_submission(run.folder / RESULT, path, SubmissionConfig(on_failed=OnFailed.uniform))
    return pq.read_table(run.folder / RESULT), path.read_bytes()


def asked_at_once(job: Job, path: Path, scratch: Path) -> pa.Table:
    """The results of all rows that are answered, as the task and the engine give them without anything in between."""
    recipe = job.recipe(path)
    inputs = take_in(recipe.data, scratch).inputs
    rows = pa.concat_tables(table for file in inputs for table in all_rows(file, scratch, recipe.data))
    rows = rows.filter(pc.is_null(rows["error"]))
    keys, before, numbers = content_keys(rows, recipe.data.content), Counter[bytes](), []
    for key in keys.to_pylist():
        numbers.append(before[key] if job.task.draws else 0)
        before[key] += 1
    tokenizer = ENGINE.load_tokenizer()
    asked = rows.append_column(KEY, equal_keys(keys, np.array(numbers, np.int64)))
    prepared = job.task.prepare(asked, tokenizer, ENGINE.max_tokens)
    found = job.task.read(prepared, job.task.ask(ENGINE.load(tokenizer, job.task.method), prepared))
    errors = pa.array([found.errors.get(row) for row in range(rows.num_rows)], pa.string())
    columns = job.task.conclude(asked, found.columns)
    there = pa.array([row not in found.unanswered for row in range(rows.num_rows)], pa.bool_())
    return result_rows(rows, recipe.data, job.task, columns, errors).filter(there)


def drawn_files(draw: random.Random) -> list[list[int]]:
    some = draw.sample(range(POOL), draw.randint(2, POOL))
    return [draw.choices(some, k=draw.randint(1, 12)) for _ in range(draw.randint(1, 3))]


@pytest.mark.parametrize("case", range(CASES))
def test_a_result_is_that_of_a_run_from_nothing(case: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(case)
    name = list(TASKS)[case % len(TASKS)]
    choice: dict[str, Any] = draw.choice([{}, {}, {"limit": 7}, {"fold": 1, "folds": 2}, {"sample": 5}])
    job = Job(name, TASKS[name], {**choice, **({"carry": ["note"]} if name not in BATTLE_TASKS else {})})
    if draw.random() < 0.5:  # parts of a few rows, all of which reach the disk
        monkeypatch.setattr(shuffle, "_BUFFER_BYTES", 100)
        monkeypatch.setattr(division, "_PART_ROWS", 3)
        monkeypatch.setattr(run_rows, "_PART_ROWS", 2)
        monkeypatch.setattr(division, "GROUP_ROWS", 4)
        monkeypatch.setattr(run_rows, "GROUP_ROWS", 2)
        monkeypatch.setattr(segment, "GROUP_ROWS", 2)
    path = write_input(job, tmp_path / "input", [[0, 1], *drawn_files(draw)], draw)
    fresh = finished(job, path, tmp_path / "fresh", None, draw.randint(1, 9))
    table, submission = outcome(job, fresh)
    answered = table.filter(pc.is_valid(table["tokens"]))
    assert answered.equals(asked_at_once(job, path, tmp_path / "at once"))

    store = tmp_path / "store"
    for night in range(draw.randint(0, 2)):
        other = write_input(job, tmp_path / f"other-{night}", [[0, 1], *drawn_files(draw)], draw)
        finished(replace(job, options=dict(job.options, limit=None)), other, tmp_path / f"night-{night}", store, 4)
    if store.exists():
        (answers,) = Store.at(store).tables()
        if draw.random() < 0.3:
            compact(answers)
        if draw.random() < 0.3 and (segments := sorted(answers.folder.glob("*.parquet"))):
            spoil(draw.choice(segments), draw)

    for number in range(2):
        run = finished(job, path, tmp_path / f"run-{number}", store, draw.randint(1, 9))
        again, again_submission = outcome(job, run)
        assert again.schema.equals(table.schema)
        assert again.equals(table)
        assert again_submission == submission
        manifest = run.manifest
        assert manifest.asked + sum(file.remembered for file in manifest.inputs) + manifest.repeated == table.num_rows
        assert not list(run.folder.glob("merge-*")) + list(run.folder.glob("plan-*"))
    assert manifest.asked + manifest.repeated == table.num_rows - answered.num_rows


def spoil(path: Path, draw: random.Random) -> None:
    """Flip a bit of a file, or cut it off."""
    content = bytearray(path.read_bytes())
    place = draw.randrange(len(content))
    if draw.random() < 0.2:
        path.write_bytes(content[:place])
        return
    content[place] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
