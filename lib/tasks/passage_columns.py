"""Passages as columns of a table: what retrieving writes, and reranking reads and writes."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lib.types import Passage, slot_column

PASSAGES = {
    "passages": pa.list_(pa.string()),
    "passage_ids": pa.list_(pa.string()),
    "scores": pa.list_(pa.float64()),
    "documents": pa.list_(pa.string()),
    "starts": pa.list_(pa.int64()),
    "stops": pa.list_(pa.int64()),
}
"""Lists of one length, best passage first: texts, ids, scores, and where each stands in its source (characters)."""

BESIDE = tuple(name for name in PASSAGES if name != "passages")


def passage_columns(rows: Sequence[Sequence[Passage]]) -> list[list[list[Any]]]:
    """The columns of PASSAGES for the passages of some rows."""
    fields = ("text", "id", "score", "document", "start", "stop")
    return [[[getattr(passage, name) for passage in row] for row in rows] for name in fields]


def read_passages(rows: pa.Table) -> list[list[Passage]]:
    """The passages of each row; without ids the place in the list is one, without scores all are 0."""
    texts = rows[slot_column("passages")].to_pylist()
    there = {name: rows[name].to_pylist() for name in BESIDE if name in rows.column_names}

    def passage(row: int, place: int, text: str | None) -> Passage:
        cells = {name: column[row][place] for name, column in there.items() if column[row] is not None}
        return Passage(
            id=cells.get("passage_ids") or str(place),
            text=text or "",
            score=cells.get("scores", 0.0),
            document=cells.get("documents"),
            start=cells.get("starts"),
            stop=cells.get("stops"),
        )

    return [[passage(row, place, text) for place, text in enumerate(items)] for row, items in enumerate(texts)]
