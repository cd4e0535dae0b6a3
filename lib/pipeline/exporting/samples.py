"""The rows of a finished run as samples: what the model was asked, what it answered, what was right."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from lib.data import parquet
from lib.data.manifest import Manifest
from lib.data.row_names import name_blocks
from lib.data.rows.base import Rows
from lib.data.rows.table import TableConfig
from lib.data.run_folder import read_config
from lib.errors import ConfigError
from lib.pipeline.rows_of_run import battles_of, rows_of, table_of, typed_group
from lib.tasks.battle_requests import slot_pieces, texts_of
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.slots import slot_values
from lib.types import PROBABILITIES

_BLOCK_ROWS = 1024
_WHY_NOT = {
    "arena": "a reward model scores texts, and answers nothing",
    "embed": "vectors are no answers to a prompt",
    "retrieve": "passages that were found are no answers to a prompt",
    "rerank": "a row is asked about as many passages as it has, and not once",
    "chunk": "chunks are no answers to a prompt",
    "questions": "no model is asked",
}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A row of a run.

    number: of the row in the result, from 0. id: the row's own, or its number where no row has one. messages: role and
    text of each turn as the prompt makes them of the row's whole texts (with A first), whatever was then cut to fit.
    answers: what the model wrote, or the verdict or grade that its probabilities gave; none of a row that failed.
    target: what would be right, "" where nobody says. verdict: what was made of the answer: of battles and grades.
    score: whether the verdict is right, or the grade; None where there is none. columns: the others of the row's
    result.
    """

    number: int
    id: str
    messages: Sequence[tuple[str, str]]
    answers: Sequence[str]
    target: str
    verdict: str | None
    score: float | None
    columns: Mapping[str, Any]
    error: str | None


def require_exportable(manifest: Manifest, folder: Path) -> None:
    """Raise ConfigError, with the reason, for a run whose rows are no questions with answers."""
    resolved, shown = read_config(folder), f"run.dir={folder}"
    why = _WHY_NOT.get(manifest.job)
    if why is None and "failed" not in (resolved.get("data") or {}) and manifest.job in ("generate", "grade"):
        why = "each line of a batch file has a body of its own; merge.format=openai_batch writes its answers"
    if why is None and resolved["prompt"].get("images"):
        why = "its questions have pictures, which the logs would lack"
    if why is None and (resolved.get("grade") or {}).get("criteria"):
        why = "a row is asked once for each of grade.criteria, and not once"
    if why is not None:
        raise ConfigError(f"{shown}: a run of jobs.{manifest.job} can't be exported: {why}")


def samples(manifest: Manifest, folder: Path, result: Path) -> Iterator[Sample]:
    """The samples of a run in the order of its result, some of them in memory at a time. result: its result.parquet.

    Raises as `rows_of`.
    """
    prompt = typed_group(PromptConfig, read_config(folder).get("prompt"), folder, "prompt")
    rows = _rows(manifest, folder, prompt)
    texts, number = _Aligned(rows_of(folder, manifest, rows)), 0
    names = name_blocks(lambda: (block["id"] for block in parquet.blocks(result, _BLOCK_ROWS, ["id"])))
    for block, ids in zip(parquet.blocks(result, _BLOCK_ROWS), names, strict=True):
        asked = _filled(texts.take(block.num_rows), prompt, battles=not isinstance(rows, TableConfig))
        for cells, name, text in zip(block.to_pylist(), ids.to_pylist(), asked, strict=True):
            yield _sample(number, name, cells, _messages(prompt, text))
            number += 1


def _rows(manifest: Manifest, folder: Path, prompt: PromptConfig) -> Rows:
    if manifest.job in ("judge", "tournament"):
        return battles_of(folder, manifest)
    return table_of(folder, sorted(prompt.slots))


class _Aligned:
    """A stream of tables, taken so many rows at a time."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._left: pa.Table | None = None

    def take(self, count: int) -> pa.Table:
        """The next `count` rows."""
        while self._left is None or self._left.num_rows < count:
            more = next(self._tables)
            self._left = more if self._left is None else pa.concat_tables([self._left, more])
        taken, self._left = self._left.slice(0, count), self._left.slice(count)
        return taken


def _filled(rows: pa.Table, prompt: PromptConfig, *, battles: bool) -> list[str]:
    """The template for each of the rows."""
    if not battles:
        found = slot_values(rows, sorted(prompt.slots))
    else:
        names = texts_of(prompt)
        columns = zip(*(rows[name].to_pylist() for name in names), strict=True)
        turns_of = [[[turn or "" for turn in turns or []] for turns in row] for row in columns]
        found = [slot_pieces(prompt, dict(zip(names, row, strict=True))) for row in turns_of]
    return [prompt.fill({slot: prompt.joint.join(texts) for slot, texts in row.items()}) for row in found]


def _messages(prompt: PromptConfig, text: str) -> list[tuple[str, str]]:
    system = [("system", prompt.system)] if prompt.system else []
    shots = [turn for question, answer in prompt.shown for turn in (("user", question), ("assistant", answer))]
    return [*system, *shots, ("user", text)]


def _sample(number: int, name: str | None, cells: dict[str, Any], messages: list[tuple[str, str]]) -> Sample:
    del cells["id"]
    error = cells.pop("error")
    label, verdict, grade = (cells.get(name) for name in ("label", "verdict", "grade"))
    texts = cells.pop("texts", None) or cells.pop("text", None)
    texts = [texts] if isinstance(texts, str) else [text for text in texts or [] if text is not None]
    concluded = verdict if verdict is not None else None if grade is None else f"{grade:g}"
    score = grade
    if "p_a" in cells:
        score = None if label is None or verdict is None else float(label == verdict)
    return Sample(
        number=number,
        id=f"row {number}, without an id" if name is None else name,
        messages=messages,
        answers=[] if error is not None else texts or ([] if concluded is None else [concluded]),
        target="" if label is None else str(label),
        verdict=concluded if error is None else None,
        score=None if error is not None else score,
        columns={column: _finite(value) for column, value in cells.items()},
        error=error,
    )


def probabilities(sample: Sample) -> dict[str, float]:
    """Those of a battle's ends, where the row has them."""
    return {name: sample.columns[name] for name in PROBABILITIES if sample.columns.get(name) is not None}


def _finite(value: Any) -> Any:
    """A value without NaN and infinite numbers, which JSON has not: null in their place."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return {key: _finite(item) for key, item in value.items()} if isinstance(value, dict) else value
