"""Raw cells of source files, a few rows at a time: memory stays flat however large the file."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.sources import Format, Source, open_source
from lib.errors import InputError

Cells = dict[str, list[Any]]
"""Column name -> cells of consecutive rows, as Python objects. (Arrow can't hold what JSON can: mixed types and
lone surrogates.)"""

BATCH_ROWS = 256
_BUFFER_BYTES = 1 << 20
_MAX_CELL_CHARACTERS = 1 << 26


def column_names(source: Source) -> list[str]:
    """Names of the columns of a file; of JSONL, the keys of its first rows. Raises InputError."""
    if source.format is Format.PARQUET:
        with _parquet_file(source) as parquet:
            return list(parquet.schema_arrow.names)
    if source.format is Format.JSONL:
        records = islice(_json_records(source), 4 * BATCH_ROWS)
        return list(dict.fromkeys(key for record in records for key in record))
    header = next(_csv_records(source), None)
    if header is None:
        raise InputError(f"{source.url}: the file is empty")
    return header


def batches(source: Source, columns: Sequence[str]) -> Iterator[Cells]:
    """The cells of some columns of a file, in its order, at most `BATCH_ROWS` rows at a time.

    Cells of CSV are strings, empty ones None. Raises InputError naming file and row for what is malformed, and
    for a file without rows.
    """
    read = {Format.PARQUET: _parquet, Format.JSONL: _jsonl}.get(source.format, _csv)
    empty = True
    try:
        for cells in read(source, columns):
            empty = False
            yield cells
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{source.url}: cannot be read ({error}); is the file whole?") from error
    if empty:
        raise InputError(f"{source.url}: the file has no rows")


def row_range(parquet: pq.ParquetFile, columns: Sequence[str], start: int, stop: int) -> Iterator[pa.RecordBatch]:
    """Rows [start, stop) of a Parquet file, from the row groups that hold them.

    Rows before `start` in the first of these groups are decoded and dropped, so memory stays flat.
    """
    position, groups, before = 0, [], 0
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


def parquet_cells(source: Source, columns: Sequence[str], start: int, stop: int) -> Iterator[Cells]:
    """The cells of rows [start, stop) of a Parquet source. Raises InputError."""
    with _parquet_file(source) as parquet:
        row = start
        for batch in row_range(parquet, columns, start, stop):
            yield {name: _values(batch.column(name), source, row, name) for name in columns}
            row += batch.num_rows


def largest_row_group(source: Source) -> int:
    """Bytes, uncompressed, of the largest row group of a Parquet source."""
    with _parquet_file(source) as parquet:
        groups = (parquet.metadata.row_group(group) for group in range(parquet.num_row_groups))
        return max((group.total_byte_size for group in groups), default=0)


def _parquet(source: Source, columns: Sequence[str]) -> Iterator[Cells]:
    with _parquet_file(source) as parquet:
        rows = parquet.metadata.num_rows
    return parquet_cells(source, columns, 0, rows)


class _parquet_file:  # noqa: N801 - a context manager
    """Parquet file of a source, buffered rather than read ahead."""

    def __init__(self, source: Source) -> None:
        self._source = source
