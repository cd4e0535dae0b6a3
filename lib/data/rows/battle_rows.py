"""Battles: from a user's cells to canonical rows; what can't be used is noted with its reason."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data.reading.readers import Cells
from lib.data.rows.base import Canonical, CellReader, read_items, read_name
from lib.data.rows.battles import NAMES, SCHEMA, TEXTS, WINNERS, BattlesConfig, Turns, present_columns

__all__ = ["WITHOUT_IDS", "canonical", "carried", "describe", "id_column", "present_columns", "schema", "tally"]

WITHOUT_IDS = "data.columns.id=null"
_TRUTH = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0}
_LABELS = ("A", "B", "tie")
_UNEQUAL = "rows with unequal numbers of turns (kept as they are)"


def schema(config: BattlesConfig) -> pa.Schema:
    """The columns of canonical battles."""
    return SCHEMA


def carried(config: BattlesConfig) -> Sequence[str]:
    """The columns that a result keeps."""
    return ("file", "row", "id", "label")


def id_column(config: BattlesConfig) -> str | None:
    """The user's column of ids."""
    return config.columns.id


def canonical(cells: Cells, config: BattlesConfig, file: str, first_row: int) -> Canonical:
    """Canonical form of consecutive rows of a file, of the columns that `present_columns` gave.

    first_row: the number of the first row in its file. A cell that can't be used is null in the table.
    """
    rows = len(cells[config.columns.prompt])
    reader = CellReader(file, first_row, rows)
    for role in TEXTS:
        name = getattr(config.columns, role)
        reader.values[role] = reader.read(name, cells[name], lambda cell: _turns(cell, config.turns))
    for role in NAMES:
        name = getattr(config.columns, role)
        reader.values[role] = reader.read(name, cells.get(name, [None] * rows), read_name)
    reader.values["label"] = _labels(cells, config, reader)
    return reader.table(SCHEMA)


def tally(rows: pa.Table) -> Counter[str]:
    """Canonical rows by label, and those with unequal numbers of turns."""
    counts = np.bincount(rows["label"].drop_null().to_numpy(), minlength=3).tolist()
    prompt, a, b = (pc.list_value_length(rows[name]) for name in TEXTS)
    unequal = pc.sum(pc.or_(pc.not_equal(prompt, a), pc.not_equal(prompt, b))).as_py() or 0
    return Counter({**dict(zip(_LABELS, counts, strict=True)), _UNEQUAL: unequal})


def describe(counts: Counter[str], rows: int) -> list[str]:
    """What the tally of so many rows says, in words."""
    a, b, tie = (counts[label] for label in _LABELS)
    parts = [f"labels: {a:,} A, {b:,} B, {tie:,} tie" if a + b + tie else "no labels"]
    missing = rows - a - b - tie if a + b + tie else 0
    findings = {"rows without a label": missing, _UNEQUAL: counts[_UNEQUAL]}
    return parts + [f"{what}: {count:,}" for what, count in findings.items() if count]


def _turns(cell: Any, form: Turns) -> tuple[list[str | None], int]:
    if isinstance(cell, str) and form is Turns.json:
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"malformed JSON ({error})") from error
    turns, repairs = read_items(cell)
    if not turns:
        raise ValueError("an empty list of turns")
    return turns, repairs


def _labels(cells: Cells, config: BattlesConfig, reader: CellReader) -> list[int | None]:
    columns = config.columns
    if columns.label is not None:
        values = {value: label for label, value in enumerate(config.label_values)}
        return reader.read(columns.label, cells[columns.label], lambda cell: (_label(cell, values), 0))
    winners = [str(getattr(columns, role)) for role in WINNERS]
    if not all(name in cells for name in winners):
        return [None] * len(reader.repaired)
    triples = zip(*(cells[name] for name in winners), strict=True)
    return reader.read("/".join(winners), triples, lambda triple: (_one_hot(triple), 0))


def _label(cell: Any, values: dict[str, int]) -> int | None:
    value, _ = read_name(cell)
    if value is None:
        return None
    if value not in values:
        raise ValueError(f"{value!r} is none of data.label_values={list(values)}")
    return values[value]


def _one_hot(cells: tuple[Any, Any, Any]) -> int | None:
    """Which of three is 1, the others being 0; None where all three are null (no label)."""
    if cells == (None, None, None):
        return None
    bits = [_TRUTH.get(str(cell).strip().lower()) for cell in cells]
    if None in bits:
        raise ValueError(f"{_shown(cells)}, not one 1 and two 0")
    if sum(filter(None, bits)) != 1:
        raise ValueError(f"{_shown(cells)}, which do not sum to one")
    return bits.index(1)


def _shown(cells: tuple[Any, Any, Any]) -> str:
    return "/".join("null" if cell is None else str(cell)[:20] for cell in cells)
