"""Blocks of JSONL sources as Arrow columns where nothing is odd, and row by row where something is."""

import io
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json

from lib.data.reading.cells import BLOCK_BYTES, BUFFER_BYTES, LONGEST, REFUSED, SMALL_BYTES, Block, Cells, Unreadable
from lib.data.reading.json_lines import KNOWN_ROWS, MOST_LEVELS, JsonCells, Late, records_of
from lib.data.reading.sources import Source, open_source

_TYPES: dict[type, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    bool: pa.bool_(),
    list: pa.list_(pa.string()),
}
_NEWLINE, _OPEN, _CLOSE = b"\n{}"


def jsonl_blocks(source: Source, columns: Sequence[str], end: int | None, late: Late | None) -> Iterator[Block]:
    """The cells of all rows, or of those before `end`: as `jsonl_rows` gives them, or columns of _TYPES.

    The first rows are read one by one: they tell the keys, and the type of each column. Arrow's reader gets the others,
    but only what ours must read alike.
    """
    size = BLOCK_BYTES if end is None else BUFFER_BYTES
    first = KNOWN_ROWS if end is None else min(end, KNOWN_ROWS)
    cells = JsonCells(columns, late)
    known: list[Cells] = []
    schema: pa.Schema | None = None
    line = 1
    with open_source(source) as file:
        while (end is None or cells.row < end) and (data := _whole_lines(file, size)):
            text = io.BytesIO(data)
            for part in cells.of(islice(records_of(source, text, line), max(first - cells.row, 0))):
                known.append(part)
                yield part
            if known and cells.row >= first:
                schema = _schema(known)
                known.clear()
            line += data.count(b"\n", 0, text.tell())
            pieces = [data[text.tell() :]]
            while pieces and (end is None or cells.row < end):
                piece = pieces.pop()
                table = None if schema is None else _columns(piece, cells.columns, schema, cells.keys)
                if table is not None:
                    table = table.slice(0, None if end is None else end - cells.row)
                    cells.row += table.num_rows
                    yield table
                elif schema is not None and (middle := _middle(piece)):
                    pieces += [piece[middle:], piece[:middle]]
                    continue
                else:
                    records = records_of(source, io.BytesIO(piece), line)
                    yield from cells.of(islice(records, None if end is None else end - cells.row))
                line += piece.count(b"\n")


def _middle(lines: bytes) -> int:
    """Where to cut lines of which some are odd; 0 where they are few."""
    middle = lines.find(b"\n", len(lines) // 2) + 1 if len(lines) > SMALL_BYTES else 0
    return middle if middle < len(lines) else 0


def _whole_lines(file: BinaryIO, size: int) -> bytes:
    """The next lines, of about so many bytes together; the last one may be cut where it is unbearably long."""
    data = file.read(size)
    return data if data.endswith(b"\n") else data + file.readline(LONGEST + 1)


def _schema(known: Sequence[Cells]) -> pa.Schema | None:
    """The types of the columns, but those of nulls only; None where one is of another type."""
    schema = pa.schema([])
    for name in known[0]:
        kinds = {_type_of(cell) for part in known for cell in part[name] if not isinstance(cell, Unreadable)}
        kinds.discard(type(None))
        if len(kinds) > 1 or not kinds <= _TYPES.keys():
            return None
        for kind in kinds:
            schema = schema.append(pa.field(name, _TYPES[kind]))
    return schema


def _type_of(cell: object) -> type:
    if isinstance(cell, list) and not all(item is None or isinstance(item, str) for item in cell):
        return object
    return type(cell)


def _columns(data: bytes, columns: Sequence[str], schema: pa.Schema, keys: Collection[str]) -> pa.RecordBatch | None:
    """The cells of some columns of whole lines; None where not all of them are sure to be objects of these keys."""
    if not _regular(data):
        return None
    try:
        table = json.read_json(
            pa.py_buffer(data),
            json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            json.ParseOptions(explicit_schema=schema),  # keys that aren't read are parsed, too: some may be there twice
        ).combine_chunks()
    except REFUSED:
        return None
    # Each line begins and ends as an object does: so many rows as lines means one in each.
    if table.num_rows != data.count(b"\n") + (not data.endswith(b"\n")):
        return None
    if not {*table.column_names} <= {*keys, *columns} or any(map(_has_infinite, table.itercolumns())):
        return None
    found = [table[name] if name in table.column_names else pa.nulls(table.num_rows) for name in columns]
    if not all(column.type in _TYPES.values() or pa.types.is_null(column.type) for column in found):
        return None
    return pa.table(found, list(columns)).to_batches()[0]


def _regular(data: bytes) -> bool:
    """Whether lines are UTF-8 without NUL, not nested too deep, and each begins and ends as an object does."""
    text = np.frombuffer(data, np.uint8)
    if not 0 < len(data) <= LONGEST or b"\0" in data or text[0] != _OPEN:
        return False
    newlines = np.flatnonzero(text == _NEWLINE)
    begins, ends = newlines[newlines < len(data) - 1] + 1, newlines[newlines > 0] - 1
    if (text[begins] != _OPEN).any() or (text[ends] != _CLOSE).any() or data.rstrip(b"\n")[-1] != _CLOSE:
        return False
    try:
        pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, len(data)], np.int32)), pa.py_buffer(data)).validate(
            full=True
        )
    except REFUSED:
        return False
    # Of a line with more brackets than levels may be, at least two of these are in the same line.
    brackets = np.flatnonzero((text | 0x20) == _OPEN)[:: MOST_LEVELS // 2]  # [ is { without that bit
    lines = np.searchsorted(newlines, brackets)
    return not (lines[1:] == lines[:-1]).any()


def _has_infinite(column: pa.ChunkedArray | pa.Array) -> bool:
    """Whether a number is too large for a float: an integer of so many digits can't be read at all."""
    if isinstance(column, pa.ChunkedArray):
        return any(map(_has_infinite, column.chunks))
    if pa.types.is_floating(column.type):
        return bool(pc.any(pc.is_inf(column)).as_py())
    if pa.types.is_struct(column.type):
        return any(map(_has_infinite, column.flatten()))
    return pa.types.is_list(column.type) and _has_infinite(column.flatten())
