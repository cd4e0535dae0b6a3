"""What readers of all formats give, and how much of it at a time."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

Cells = dict[str, Any]
"""Column name -> cells of consecutive rows: a list of Python objects (Arrow can't hold what JSON can: mixed types and
lone surrogates), or a pa.Array where that was asked for. What can't be read is `Unreadable`."""

Block: TypeAlias = Cells | pa.RecordBatch
"""The cells of a few rows, or Arrow columns of many, whose strings are UTF-8."""

BATCH_ROWS = 256
BUFFER_BYTES = 1 << 20
BLOCK_BYTES = 4 << 20  # of a text that is read as columns
SMALL_BYTES = 1 << 16  # of a part of it that is read as cells where something in it is odd
LONGEST = 1 << 26  # bytes of a line, characters of a cell: refused before a packed file fills the memory

REFUSED = (pa.ArrowInvalid, UnicodeDecodeError)
"""What Arrow raises for a text that it can't read, the second where its message quotes half a character."""


@dataclass(frozen=True)
class Unreadable:
    """A cell that is no value: bytes that are not UTF-8, JSON nested too deep, a time of the year 150,000."""

    reason: str

    def __str__(self) -> str:
        return f"({self.reason})"


@dataclass(frozen=True)
class BadLine(Unreadable):
    """Stands in every column of a row whose line can't be read, and names the line."""


def row_count(block: Block) -> int:
    """How many rows a block has."""
    return len(next(iter(block.values()))) if isinstance(block, dict) else int(block.num_rows)
