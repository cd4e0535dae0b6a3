"""Canonical rows of tables, for tests of the tasks about them."""

from typing import Any

import pyarrow as pa

from lib.types import slot_column


def rows(slots: dict[str, list[list[str] | None]], **beside: pa.Array) -> pa.Table:
    """Rows with the pieces of each slot, and other columns as they are."""
    count = len(next(iter(slots.values())))
    columns: dict[str, Any] = {
        "file": ["/data/x.jsonl"] * count,
        "row": list(range(count)),
        "id": [f"q{n}" for n in range(count)],
    }
    columns |= {slot_column(name): pa.array(pieces, pa.list_(pa.string())) for name, pieces in slots.items()}
    return pa.table({**columns, **beside, "error": pa.nulls(count, pa.string())})
