"""SQL of columns and files: a column's name as DuckDB has it, its cells as texts, and the rows of a Parquet file."""

import re
from glob import escape
from pathlib import Path

import pyarrow as pa

PLACE = "file_row_number"
"""SQL of a row's number in its file."""


def quoted(name: str) -> str:
    """A column's name as SQL has it, whatever it is.

    DuckDB takes capitals and small letters for the same, and knows no empty name: a capital is a small letter behind ^.
    """
    marked = re.sub("[A-Z^]", lambda found: "^" + found[0].lower(), name)
    marked += "^" if marked in ("", PLACE) else ""
    return '"' + marked.replace('"', '""') + '"'


def literal(path: Path) -> str:
    """A path as DuckDB takes it, which would take [, * and ? for a pattern of several."""
    return escape(str(path))


def rows_of(columns: pa.Schema) -> str:
    """The rows of the file $path, a `literal`. columns: all of them, in order; SQL then has them as `quoted` does."""
    return f"read_parquet($path) AS file_rows({', '.join(map(quoted, columns.names))})"


def as_text(columns: pa.Schema, name: str) -> str:
    """SQL of a column's text; of a list, all of it."""
    found = quoted(name)
    return f"array_to_string({found}, chr(10))" if is_texts(columns.field(name).type) else found


def shortened(column: pa.Field, characters: int) -> str:
    """SQL of the beginning of a cell: of a list, of its first text."""
    name = quoted(column.name)
    if pa.types.is_nested(column.type):
        return f"left({name}[1], {characters})"
    return f"left({name}, {characters})" if is_text(column.type) else name


def is_text(kind: pa.DataType) -> bool:
    """Whether cells are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_texts(kind: pa.DataType) -> bool:
    """Whether cells are lists of texts."""
    return is_some_list(kind) and is_text(kind.value_type)


def is_some_list(kind: pa.DataType) -> bool:
    """Whether cells are lists, of any kind that Arrow has."""
    return any(is_it(kind) for is_it in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))
