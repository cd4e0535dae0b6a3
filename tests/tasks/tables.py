"""Canonical rows of tables, for tests of the tasks about them, and what becomes of answers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from lib.data.joining.keys import content_keys
from lib.tasks.base import AnyTask, Prepared, Result
from lib.types import KEY, slot_column


def rows(slots: dict[str, list[list[str] | None]], **beside: pa.Array) -> pa.Table:
    """Rows with the pieces of each slot, and other columns as they are."""
    count = len(next(iter(slots.values())))
    columns: dict[str, Any] = {
        "file": ["/data/x.jsonl"] * count,
        "row": list(range(count)),
        "id": [f"q{n}" for n in range(count)],
    }
    columns |= {slot_column(name): pa.array(pieces, pa.list_(pa.string())) for name, pieces in slots.items()}
    table = pa.table({**columns, **beside, "error": pa.nulls(count, pa.string())})
    return keyed(table, [slot_column(name) for name in slots])


def keyed(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Rows with their keys, from these columns."""
    return table.append_column(KEY, content_keys(table, columns))


def concluded(task: AnyTask, table: pa.Table, prepared: Prepared[Any], answers: Any) -> Result:
    """What a worker makes of answers: a result with all of the task's columns."""
    result = task.read(prepared, answers)
    assert result.columns.schema.equals(task.answered)
    columns = task.conclude(table, result.columns)
    assert columns.schema.equals(task.schema)
    return replace(result, columns=columns)
