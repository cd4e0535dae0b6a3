"""Answers: the results of `jobs.generate`, read to be compared and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from lib.data import parquet
from lib.data.row_names import row_names
from lib.data.run_folder import RESULT
from lib.errors import InputError

_NEEDED = ("id", "row", "text", "finish_reason", "error")
_QUESTION = "question"
_PASSAGES = ("passages", "passage_ids", "scores", "documents", "starts", "stops")


Questions = Mapping[str, str]
"""Id of a row -> what it asks."""


@dataclass(frozen=True, kw_only=True)
class GivenPassage:
    """A passage that an answer was given. where: document and characters, "" where unknown."""

    id: str
    text: str
    score: float | None
    where: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One system's answer to one question; text is None where it failed, for the reason in `error`."""

    question: str
    text: str | None
    finish_reason: str | None
    error: str | None
    passages: Sequence[GivenPassage] = ()


def read_answers(name: str, place: str, questions: Questions | None = None) -> Mapping[str, Answer]:
    """The answers of a system by question id, in the order of the input. place: a run folder or its result.parquet.

    questions: of each id, for a result that does not carry them; None where that can't be known.
    Raises InputError, naming the system, where there is no such result, or one of several samples a row, or where two
    rows have one id.
    """
    path = Path(place) / RESULT if Path(place).is_dir() else Path(place)
    if not path.is_file():
        raise InputError(f"answers of {name}: there is no {path}; give the folder of a finished jobs.generate run")
    there = parquet.schema(path).names
    needed = _NEEDED if questions is not None else (*_NEEDED, _QUESTION)
    if missing := [column for column in needed if column not in there]:
        raise InputError(
            f"answers of {name}: {path} has no column {', '.join(missing)}; give the result of jobs.generate with "
            "data.carry=[question]"
        )
    table = parquet.read(path, [name for name in (*_NEEDED, _QUESTION, *_PASSAGES) if name in there])
    if not pa.types.is_string(table.schema.field("text").type):
        raise InputError(f"answers of {name}: {path} has several samples a row; generate with generate.n=1")
    answers: dict[str, Answer] = {}
    for key, row in zip(row_names(table["id"], table["row"].to_pylist()), table.to_pylist(), strict=True):
        if key is None:
            continue
        if key in answers:
            raise InputError(f"answers of {name}: {path} has two rows with the id {key!r}")
        answers[key] = Answer(
            question=row[_QUESTION] if _QUESTION in row else (questions or {}).get(key, ""),
            text=None if row["error"] is not None else row["text"],
            finish_reason=row["finish_reason"],
            error=row["error"],
            passages=_passages(row),
        )
    return answers


def _passages(row: Mapping[str, Any]) -> list[GivenPassage]:
    texts = row.get("passages") or []

    def cells(name: str) -> list[Any]:
        return row.get(name) or [None] * len(texts)

    columns = (texts, *(cells(name) for name in _PASSAGES[1:]))
    return [
        GivenPassage(id=key or "", text=text, score=score, where=_where(document, start, stop))
        for text, key, score, document, start, stop in zip(*columns, strict=True)
    ]


def _where(document: str | None, start: int | None, stop: int | None) -> str:
    if document is None:
        return ""
    return document if start is None else f"{document}, {start:,}–{stop:,}"
