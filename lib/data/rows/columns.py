"""Whole columns read at once: the same values as cell by cell, where nothing in them is odd.

What is odd is bad, would be repaired, or is just rare: it raises Odd, or what Arrow raises, and cells are looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json

from lib.data.reading.cells import BATCH_ROWS, REFUSED, Block, row_count
from lib.data.reading.parquet_source import cells_of, values
from lib.data.rows.base import ITEMS, Canonical, Odd, Rows

_FEW = 8  # of so many rows one may be odd, before each part of them is tried alone
_MOST_VALUES = 1000  # different ones, of columns that are read by value
_WITH_IMAGES = 16  # rows at once, of which each may take some tens of MB
_LISTS = pa.schema({"lists": pa.list_(ITEMS)})


def canonical(config: Rows, block: Block, file: str, first_row: int, first_source_row: int = 0) -> Iterator[Canonical]:
    """Canonical form of a block: in columns, but for a few odd rows; where there are many, part by part.

    first_row, first_source_row: as of `Rows.canonical`.
    """
    if not isinstance(block, pa.RecordBatch):
        if not config.shows_files:
            yield config.canonical(block, file, first_row, first_source_row)
            return
        for start in range(0, row_count(block), _WITH_IMAGES):
            few = {name: cells[start : start + _WITH_IMAGES] for name, cells in block.items()}
            yield config.canonical(few, file, first_row + start)
        return
    found = _in_columns(config, block, file, first_row)
    first, last = first_row // BATCH_ROWS, (first_row + block.num_rows - 1) // BATCH_ROWS
    if found is not None:
        yield found
    elif first == last:
        yield config.canonical(cells_of(block, config.as_arrow), file, first_row, first_source_row)
    else:
        half = ((first + last + 1) // 2) * BATCH_ROWS - first_row
        yield from canonical(config, block.slice(0, half), file, first_row, first_source_row)
        yield from canonical(config, block.slice(half), file, first_row + half, first_source_row + half)


def _in_columns(config: Rows, block: pa.RecordBatch, file: str, first_row: int) -> Canonical | None:
    """Canonical form of a block, its odd rows cell by cell; None where these are many or can't be found."""
    rows = np.arange(block.num_rows)
    odd = np.zeros(block.num_rows, np.bool_)
    while odd.sum() * _FEW <= block.num_rows:
        try:
            table = config.columnar(block.filter(pa.array(~odd)) if odd.any() else block, file, first_row)
        except Odd as found:
            if found.rows is None or not pc.any(found.rows).as_py():
                return None
            odd[rows[~odd][found.rows.to_numpy(zero_copy_only=False)]] = True
        except (*REFUSED, pa.ArrowNotImplementedError):
            return None
        else:
            break
    else:
        return None
    repaired, bad = np.zeros(block.num_rows, np.int64), []
    if odd.any():
        others = config.canonical(cells_of(block.filter(pa.array(odd)), config.as_arrow), file, 0)
        order = np.argsort(np.concatenate([rows[~odd], rows[odd]]))
        table = pa.concat_tables([table, others.table]).take(pa.array(order))
        table = table.set_column(table.column_names.index("row"), "row", pa.array(rows + first_row))
        repaired[odd] = others.repaired
        bad = [cell._replace(row=first_row + int(rows[odd][cell.row])) for cell in others.bad]
    return Canonical(table, repaired, bad)


def place(file: str, first_row: int, rows: int) -> dict[str, pa.Array]:
    """The columns `file` and `row`."""
    return {"file": pa.repeat(file, rows), "row": pa.array(np.arange(first_row, first_row + rows))}


def names(column: pa.Array) -> pa.Array:
    """Names or ids, as `read_name` reads them: texts, null where they are empty, and whole numbers."""
    column = _usual(column)
    if pa.types.is_boolean(column.type) or column.type == ITEMS:
        raise Odd
    if not pa.types.is_string(column.type):
        return column.cast(pa.string())
    empty = pc.equal(pc.binary_length(column), 0)
    return pc.if_else(empty, pa.scalar(None, pa.string()), column) if pc.any(empty).as_py() else column


def texts(column: pa.Array, *, numbers: bool = False) -> pa.Array:
    """Texts or lists of texts, as lists, none of them null. numbers: whole ones are texts, too."""
    column = _usual(column)
    if pa.types.is_boolean(column.type):
        raise Odd
    if column.null_count:
        raise Odd(column.is_null())
    if column.type == ITEMS:
        return column
    if not pa.types.is_string(column.type) and not numbers:
        raise Odd
    return pa.ListArray.from_arrays(pa.array(np.arange(len(column) + 1, dtype=np.int32)), column.cast(pa.string()))


def plain_texts(column: pa.Array) -> pa.Array:
    """Texts or null, as they are; numbers and truth values as JSON writes them."""
    column = _usual(column)
    if column.type == ITEMS:
        raise Odd
    return column.cast(pa.string())


def json_texts(column: pa.Array) -> pa.Array:
    """Lists of texts, some of them written as JSON."""
    column = _usual(column)
    if not pa.types.is_string(column.type):
        return texts(column)
    if column.null_count:
        raise Odd(column.is_null())
    inner = _only_text(column)
    return _parsed_lists(column) if inner is None else texts(inner)


def _only_text(column: pa.Array) -> pa.Array | None:
    """The text in each cell, where each is JSON of a list of one text in which nothing is escaped; else None."""
    _, offsets, content = column.buffers()
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    letters = np.frombuffer(content or b"", np.uint8)[ends[0] : ends[-1]]
    begins, behind = ends[:-1] - ends[0], ends[1:] - ends[0]
    if not len(letters) or (behind - begins).min() < len('[""]') or (letters < 0x20).any() or (letters == 0x5C).any():
        return None
    around = ((begins, "["), (begins + 1, '"'), (behind - 2, '"'), (behind - 1, "]"))
    if not all((letters[places] == ord(letter)).all() for places, letter in around):
        return None
    if np.count_nonzero(letters == ord('"')) != 2 * len(column):
        return None
    return pc.binary_slice(column.view(pa.binary()), 2, -2).view(pa.string())


def _parsed_lists(column: pa.Array) -> pa.Array:
    lists = pc.and_(pc.starts_with(column, "["), pc.ends_with(column, "]"))
    if not pc.all(lists).as_py():
        raise Odd(pc.invert(lists))
    # Raw line breaks can't be in a JSON string. So each cell's first bracket opens a list of texts, its last one closes
    # one, and as many lists as cells means one in each.
    whole = pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column)
    text = b'{"lists":[' + pc.binary_join(whole, ",\n")[0].as_buffer().to_pybytes() + b"]}\n"
    try:
        found = json.read_json(
            pa.py_buffer(text),
            json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            json.ParseOptions(explicit_schema=_LISTS, unexpected_field_behavior="error"),
        )
    except REFUSED as error:
        raise Odd(pc.match_substring(column, "\\ud", ignore_case=True)) from error  # half a character, most often
    (lists,) = found["lists"].chunks
    if len(lists) != 1 or len(lists.values) != len(column) or lists.values.null_count:
        raise Odd
    return lists.values


def by_value(columns: Sequence[pa.Array], read: Callable[[tuple[Any, ...]], str | None]) -> pa.Array:
    """What `read` makes of the cells of a row, for columns of few values: texts or null."""
    codes, distinct, count = np.zeros(len(columns[0]), np.int64), [], 1
    for column in columns:
        encoded = _usual(column).dictionary_encode("encode")
        distinct.append(values(encoded.dictionary))
        count *= max(len(distinct[-1]), 1)
        if count > _MOST_VALUES:
            raise Odd
        codes = codes * len(distinct[-1]) + encoded.indices.to_numpy(zero_copy_only=False)
    there = np.bincount(codes, minlength=count)
    results: list[str | None] = [None] * count
    bad = []
    for code, cells in enumerate(product(*distinct)):
        try:
            results[code] = read(cells) if there[code] else None
        except ValueError:
            bad.append(code)
    if bad:
        raise Odd(pa.array(np.isin(codes, bad)))
    return pa.array(results, pa.string()).take(pa.array(codes))


def _usual(column: pa.Array) -> pa.Array:
    """A column of texts, lists of texts (ITEMS), integers, truth values or nulls; any other is odd."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    types, kind = pa.types, column.type
    if types.is_string(kind) or types.is_integer(kind) or types.is_boolean(kind) or types.is_null(kind):
        return column
    is_list = types.is_list(kind) or types.is_large_list(kind)
    inner = kind.value_type if is_list else kind
    if not (types.is_string(inner) or types.is_large_string(inner) or types.is_string_view(inner)):
        raise Odd
    return column.cast(ITEMS if is_list else pa.string())
