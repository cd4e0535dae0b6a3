"""The two ways in which input is read, whole columns and cell by cell, side by side."""

import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import PropertyMock, patch

import pyarrow as pa

from lib.data.reading import csv_blocks, delimited, intake, json_blocks, json_lines, parquet_source
from lib.data.reading.input_file import read_rows
from lib.data.reading.intake import take_in
from lib.data.rows import columns
from lib.data.rows.base import Rows
from lib.errors import OvernightError

SMALL = {
    "BLOCK_BYTES": 400,
    "BUFFER_BYTES": 100,  # of a block where the input has a limit
    "SMALL_BYTES": 50,
    "KNOWN_ROWS": 3,
    "BATCH_ROWS": 4,
    "_IN_PLACE_BYTES": 1,  # Parquet is copied
}
"""So small that few rows make many blocks, some in columns and some not."""


@dataclass(frozen=True)
class Taken:
    """What became of an input: its canonical rows and the report, or why it was refused. in_columns: rows read so."""

    rows: pa.Table | None
    said: Any
    in_columns: int


def both_ways(config: Rows, folder: Path, **sizes: int) -> tuple[Taken, Taken]:
    """In columns, and cell by cell. sizes: in place of those in SMALL."""
    return taken(config, folder / "columns", True, **sizes), taken(config, folder / "cells", False, **sizes)


def taken(config: Rows, folder: Path, in_columns: bool, **sizes: int) -> Taken:
    """An input, taken in one of the ways."""
    read_so = 0

    def columnar(self: Rows, cells: pa.RecordBatch, *place: Any) -> pa.Table:
        nonlocal read_so
        table = original(self, cells, *place)
        read_so += table.num_rows
        return table

    original = type(config).columnar
    with ExitStack() as stack:
        for module in (csv_blocks, json_blocks, json_lines, parquet_source, delimited, columns, intake):
            here = {name: size for name, size in {**SMALL, **sizes}.items() if hasattr(module, name)}
            stack.enter_context(patch.multiple(module, **here))
        stack.enter_context(patch.object(type(config), "columnar", columnar))
        if not in_columns:
            stack.enter_context(patch.object(type(config), "in_columns", PropertyMock(return_value=False)))
        try:
            taken_in = take_in(config, folder)
            tables = [read_rows(file, folder, 0, file.rows, config) for file in taken_in.inputs]
        except OvernightError as error:
            # How many were seen before it was given up depends on how many are looked at together.
            return Taken(None, re.sub(r"at least \d+", "at least some", str(error)), read_so)
    return Taken(pa.concat_tables(tables), vars(taken_in.report), read_so)


def same(one: Taken, other: Taken) -> bool:
    """Whether the same became of an input."""
    if one.rows is None or other.rows is None:
        return one.rows is other.rows and one.said == other.said
    return one.said == other.said and one.rows.equals(other.rows)
