"""From a user's cells to canonical battles, row by row; what can't be used is noted with its reason."""

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.data.battles import NAMES, SCHEMA, TEXTS, WINNERS, BattlesConfig, Turns
from lib.data.readers import Cells
from lib.data.text import repair

_TRUTH = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0}


class BadCell(NamedTuple):
    """A cell that can't be used, and why."""

    row: int
    column: str
    reason: str


class Canonical(NamedTuple):
    """n rows in canonical form. repaired: int64 [n], cells of a row whose text was repaired."""

    table: pa.Table
    repaired: npt.NDArray[np.int64]
    bad: list[BadCell]


def canonical(cells: Cells, config: BattlesConfig, file: str, first_row: int) -> Canonical:
    """Canonical form of consecutive rows of a file, of the columns that `present_columns` gave.

    first_row: the number of the first row in its file. A cell that can't be used is null in the table.
    """
    rows = len(cells[config.columns.prompt])
    reader = _Reader(rows, first_row)
    values: dict[str, list[Any]] = {"file": [file] * rows, "row": list(range(first_row, first_row + rows))}
    for role in TEXTS:
        name = getattr(config.columns, role)
        values[role] = reader.read(name, cells[name], lambda cell: _turns(cell, config.turns))
    for role in NAMES:
        name = getattr(config.columns, role)
        values[role] = reader.read(name, cells.get(name, [None] * rows), read_name)
    values["label"] = _labels(cells, config, reader)
    values["error"] = [None] * rows
    for bad in reader.bad:
        row, why = bad.row - first_row, f"{bad.column}: {bad.reason}"
        values["error"][row] = f"{values['error'][row]}; {why}" if values["error"][row] else why
    return Canonical(pa.table(values, schema=SCHEMA), reader.repaired, sorted(reader.bad))


class _Reader:
    """Reads columns cell by cell and notes what was repaired and what is bad."""

    def __init__(self, rows: int, first_row: int) -> None:
        self.repaired = np.zeros(rows, np.int64)
        self.bad: list[BadCell] = []
        self._first_row = first_row

    def read(self, column: str, cells: Iterable[Any], parse: Callable[[Any], Any]) -> list[Any]:
        """Parsed cells; None where `parse` raises ValueError."""
        values: list[Any] = []
        for row, cell in enumerate(cells):
            try:
                value, repairs = parse(cell)
            except ValueError as error:
                value, repairs = None, 0
                self.bad.append(BadCell(self._first_row + row, column, str(error)))
            self.repaired[row] += repairs > 0
            values.append(value)
        return values


def _turns(cell: Any, form: Turns) -> tuple[list[str | None], int]:
    if isinstance(cell, str) and form is Turns.json:
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"malformed JSON ({error})") from error
    if cell is None:
        raise ValueError("null (or an empty cell), not a text")
    if isinstance(cell, str):
        cell = [cell]
    if not isinstance(cell, list):
        raise ValueError(f"{_kind(cell)}, not a text or a list of texts")
    if not cell:
        raise ValueError("an empty list of turns")
    turns: list[str | None] = []
    repairs = 0
    for number, turn in enumerate(cell):
        if turn is not None and not isinstance(turn, str):
            raise ValueError(f"turn {number} is {_kind(turn)}, not a text")
        text, lone = (None, 0) if turn is None else repair(turn)
        turns.append(text)
        repairs += lone
    return turns, repairs


def read_name(cell: Any) -> tuple[str | None, int]:
    """A name or id, as text: numbers as well (whole floats without their point, as pandas makes them of integers)."""
    if cell is None or cell != cell or cell == "":
        return None, 0
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, (str, int)):
        raise ValueError(f"{_kind(cell)}, not a text or a whole number")
    return repair(str(cell))


def _labels(cells: Cells, config: BattlesConfig, reader: _Reader) -> list[int | None]:
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


def _kind(value: Any) -> str:
    return {"dict": "an object", "list": "a list", "bool": "a truth value"}.get(
        type(value).__name__, f"a value of type {type(value).__name__}"
    )
