"""Cells of Parquet sources, by ranges of rows."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.parquet import in_run_folder, require_rows, require_sound
from lib.data.reading.cells import BATCH_ROWS, BLOCK_BYTES, BUFFER_BYTES, Block, Cells, Unreadable
from lib.data.reading.sources import Source, open_source

_MOST_ROWS = 1 << 16  # of a block, where dictionaries make the bytes of a row look few


def row_range(
    parquet: pq.ParquetFile, columns: Sequence[str], start: int, stop: int, size: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows [start, stop) of a Parquet file, from the row groups that hold them, `size` at a time.

    Rows before `start` in the first of these groups are decoded and dropped, so memory stays flat.
    """
    groups: list[int] = []
    position = before = 0  # rows before a group; before the batch at hand
    for group in range(parquet.num_row_groups):
        end = position + parquet.metadata.row_group(group).num_rows
        if position < stop and start < end:
            before = before if groups else position
            groups.append(group)
        position = end
    if not groups:
        return
    for batch in parquet.iter_batches(size or BATCH_ROWS, row_groups=groups, columns=list(columns), use_threads=False):
        first, last = max(start - before, 0), min(stop - before, batch.num_rows)
        if first < last:
            yield batch.slice(first, last - first)
        before += batch.num_rows
        if before >= stop:
            return


def parquet_cells(
    source: Source, columns: Sequence[str], start: int, stop: int, as_arrow: Collection[str] = ()
) -> Iterator[Cells]:
    """The cells of rows [start, stop) of a Parquet source, some of its columns as arrays. Raises InputError."""
    with parquet_file(source) as parquet:
        row = start
        for batch in row_range(parquet, columns, start, stop):
            yield cells_of(batch.select(list(columns)), as_arrow)
            row += batch.num_rows
        require_rows(row, stop)


def cells_of(batch: pa.RecordBatch, as_arrow: Collection[str]) -> Cells:
    """The cells of some rows, some of the columns as arrays."""
    found = zip(batch.schema.names, batch.columns, strict=True)
    return {name: column if name in as_arrow else values(column) for name, column in found}


def parquet_blocks(
    source: Source, columns: Sequence[str], start: int, stop: int | None, as_arrow: Collection[str]
) -> Iterator[Block]:
    """Rows [start, stop) of a Parquet source, or all from `start` on. Raises InputError.

    Where a text is not UTF-8, as `parquet_cells` gives them.
    """
    with parquet_file(source) as parquet:
        rows = parquet.metadata.num_rows
        row, stop = start, rows if stop is None else min(stop, rows)
        for batch in row_range(parquet, columns, start, stop, _block_rows(parquet.metadata)):
            row += batch.num_rows
            wanted = batch.select(list(columns))
            try:
                wanted.validate(full=True)
            except pa.ArrowInvalid:
                parts = (wanted.slice(first, BATCH_ROWS) for first in range(0, batch.num_rows, BATCH_ROWS))
                yield from (cells_of(part, as_arrow) for part in parts)
            else:
                yield wanted
        require_rows(row, stop)


def _block_rows(metadata: pq.FileMetaData) -> int:
    """How many rows make a block, as far as the footer tells."""
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    rows = BLOCK_BYTES * metadata.num_rows // max(size, 1)
    return int(min(max(rows, BATCH_ROWS), _MOST_ROWS))


def values(column: pa.Array) -> list[Any]:
    """The cells of a column as Python objects, or `Unreadable`; float32 as the decimals it stands for."""
    try:
        cells: list[Any] = column.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):
        return [_value(scalar) for scalar in column]
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        narrow = column.type.to_pandas_dtype()
        return [None if cell is None else float(str(narrow(cell))) for cell in cells]
    return cells


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return Unreadable(f"not UTF-8 ({error})")
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return Unreadable(f"a value of type {scalar.type} that can't be read ({error})")


def largest_row_group(source: Source) -> int:
    """Bytes, uncompressed, of the largest row group of a Parquet source."""
    with parquet_file(source) as parquet:
        groups = (parquet.metadata.row_group(group) for group in range(parquet.num_row_groups))
        return max((group.total_byte_size for group in groups), default=0)


@contextmanager
def parquet_file(source: Source) -> Iterator[pq.ParquetFile]:
    """A Parquet source, opened. Raises InputError where it is none, or damaged."""
    with open_source(source) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER_BYTES, page_checksum_verification=True)
        require_sound(parquet, ours=in_run_folder(source.url))
        yield parquet


def parquet_rows(source: Source, columns: Sequence[str], end: int | None, as_arrow: Collection[str]) -> Iterator[Cells]:
    """The cells of all rows, or of those before `end`, as `parquet_cells` gives them."""
    with parquet_file(source) as parquet:
        rows = parquet.metadata.num_rows
    return parquet_cells(source, columns, 0, rows if end is None else min(rows, end), as_arrow)
