"""Cells of Parquet sources, by ranges of rows."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.parquet import in_run_folder, require_rows, require_sound
from lib.data.reading.cells import BATCH_ROWS, BUFFER_BYTES, Cells, Unreadable
from lib.data.reading.sources import Source, open_source


def row_range(parquet: pq.ParquetFile, columns: Sequence[str], start: int, stop: int) -> Iterator[pa.RecordBatch]:
    """Rows [start, stop) of a Parquet file, from the row groups that hold them.

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
    for batch in parquet.iter_batches(BATCH_ROWS, row_groups=groups, columns=list(columns), use_threads=False):
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
            found = {name: batch.column(name) for name in columns}
            yield {name: column if name in as_arrow else values(column) for name, column in found.items()}
            row += batch.num_rows
        require_rows(row, stop)


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
