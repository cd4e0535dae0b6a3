"""What readers of all formats give, and how much of it at a time."""

from typing import Any

Cells = dict[str, Any]
"""Column name -> cells of consecutive rows: a list of Python objects (Arrow can't hold what JSON can: mixed types and
lone surrogates), or a pa.Array where that was asked for."""

BATCH_ROWS = 256
BUFFER_BYTES = 1 << 20
LONGEST = 1 << 26  # bytes of a line, characters of a cell: refused before a packed file fills the memory
