"""Raw cells of source files, a few rows at a time: memory stays flat however large the file."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.parquet import require_rows, require_sound
from lib.data.reading.sources import FileFormat, Source, open_source
from lib.errors import InputError

Cells = dict[str, list[Any]]
"""Column name -> cells of consecutive rows, as Python objects. (Arrow can't hold what JSON can: mixed types and
lone surrogates.)"""

BATCH_ROWS = 256
TEXT = "text"  # the one column of a plain text, which is one row
_BUFFER_BYTES = 1 << 20
_MAX_CELL_CHARACTERS = 1 << 26


def column_names(source: Source) -> list[str]:
    """Names of the columns of a file; of JSONL, the keys of its first rows. Raises InputError."""
    if source.format is FileFormat.PARQUET:
        with _parquet_file(source) as parquet:
            return list(parquet.schema_arrow.names)
    if source.format is FileFormat.TEXT:
        return [TEXT]
    if source.format is FileFormat.JSONL:
        records = islice(_json_records(source), 4 * BATCH_ROWS)
        names = list(dict.fromkeys(key for record in records for key in record))
    else:
        names = next(_csv_records(source), [])
    if not names:
        raise InputError(f"{source.url}: the file is empty")
    return names


def column_types(source: Source, columns: Sequence[str]) -> dict[str, pa.DataType]:
    """The types of those of the columns that a file has: those of Parquet; elsewhere all are text."""
    if source.format is not FileFormat.PARQUET:
        return {name: pa.string() for name in column_names(source) if name in columns}
    with _parquet_file(source) as parquet:
        return {f.name: f.type for f in parquet.schema_arrow if f.name in columns}


def batches(source: Source, columns: Sequence[str]) -> Iterator[Cells]:
    """The cells of some columns of a file, in its order, at most `BATCH_ROWS` rows at a time.

    Cells of CSV are strings, empty ones None. Raises InputError naming file and row for what is malformed, and
    for a file without rows.
    """
    read = {FileFormat.PARQUET: _parquet, FileFormat.JSONL: _jsonl, FileFormat.TEXT: _text}.get(source.format, _csv)
    empty = True
    for cells in read(source, columns):
        empty = False
        yield cells
    if empty:
        raise InputError(f"{source.url}: the file has no rows")


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


def parquet_cells(source: Source, columns: Sequence[str], start: int, stop: int) -> Iterator[Cells]:
    """The cells of rows [start, stop) of a Parquet source. Raises InputError."""
    with _parquet_file(source) as parquet:
        row = start
        for batch in row_range(parquet, columns, start, stop):
            yield {name: _values(batch.column(name), source, row, name) for name in columns}
            row += batch.num_rows
        require_rows(row, stop)


def largest_row_group(source: Source) -> int:
    """Bytes, uncompressed, of the largest row group of a Parquet source."""
    with _parquet_file(source) as parquet:
        groups = (parquet.metadata.row_group(group) for group in range(parquet.num_row_groups))
        return max((group.total_byte_size for group in groups), default=0)


@contextmanager
def _parquet_file(source: Source) -> Iterator[pq.ParquetFile]:
    with open_source(source) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)
        require_sound(parquet)
        yield parquet


def _parquet(source: Source, columns: Sequence[str]) -> Iterator[Cells]:
    with _parquet_file(source) as parquet:
        rows = parquet.metadata.num_rows
    return parquet_cells(source, columns, 0, rows)


def _values(column: pa.Array, source: Source, first_row: int, name: str) -> list[Any]:
    try:
        return cast(list[Any], column.to_pylist())
    except UnicodeDecodeError as error:
        raise InputError(f"{source.url}, rows from {first_row}, column {name}: not UTF-8 ({error})") from error


def _jsonl(source: Source, columns: Sequence[str]) -> Iterator[Cells]:
    records = _json_records(source)
    while batch := list(islice(records, BATCH_ROWS)):
        yield {name: [record.get(name) for record in batch] for name in columns}


def _json_records(source: Source) -> Iterator[dict[str, Any]]:
    with open_source(source) as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{source.url}, line {number}: malformed JSON ({error})") from error
            if not isinstance(record, dict):
                raise InputError(f"{source.url}, line {number}: not a JSON object, as each line must be")
            yield record


def _text(source: Source, columns: Sequence[str]) -> Iterator[Cells]:
    with open_source(source) as file:
        try:
            text = file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{source.url}: not UTF-8 ({error}); convert the file to UTF-8") from error
    yield {name: [text or None] for name in columns}


def _csv(source: Source, columns: Sequence[str]) -> Iterator[Cells]:
    records = _csv_records(source)
    header = next(records, [])
    positions = {name: header.index(name) for name in columns}
    first_row = 0
    while batch := list(islice(records, BATCH_ROWS)):
        cells: Cells = {name: [record[at] or None for record in batch] for name, at in positions.items()}
        for name, column in cells.items():
            _require_utf8(column, source, first_row, name)
        yield cells
        first_row += len(batch)


def _csv_records(source: Source) -> Iterator[list[str]]:
    """Header and rows. The csv module rather than Arrow's reader: that one swallows rows after an open quote."""
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    row = -1  # of the record read last; the header is -1
    with open_source(source) as file:
        # Bytes that are not UTF-8 become lone surrogates, so that they can be reported with their row.
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, delimiter="\t" if source.format is FileFormat.TSV else ",", strict=True)
        records = filter(None, reader)  # blank lines are no rows, as in pandas
        try:
            header = next(records, None)
            if header is None:
                return
            yield header
            for row, record in enumerate(records):
                if len(record) != len(header):
                    where = f"{source.url}, row {row} (ends in line {reader.line_num})"
                    raise InputError(f"{where}: {len(record)} cells where the header has {len(header)}")
                yield record
        except csv.Error as error:
            where = f"{source.url}, row {row + 1} (line {reader.line_num})"
            raise InputError(f"{where}: malformed CSV ({error}); is a quote left open or not doubled?") from error


def _require_utf8(column: list[str | None], source: Source, first_row: int, name: str) -> None:
    for row, cell in enumerate(column, first_row):
        try:
            (cell or "").encode()
        except UnicodeEncodeError as error:
            where = f"{source.url}, row {row}, column {name}"
            raise InputError(f"{where}: not UTF-8 (at character {error.start}); convert the file to UTF-8") from error
