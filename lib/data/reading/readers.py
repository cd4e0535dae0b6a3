"""Raw cells of source files, a few rows at a time: memory stays flat however large the file."""

import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeVar

import pyarrow as pa

from lib.data.reading.arrow_types import settled
from lib.data.reading.cells import BUFFER_BYTES, Block, Cells, Unreadable
from lib.data.reading.csv_blocks import csv_blocks
from lib.data.reading.delimited import csv_has_rows, csv_header, csv_rows
from lib.data.reading.dialect import USUAL, Dialect
from lib.data.reading.encodings import convert, not_utf8, other_encoding
from lib.data.reading.json_blocks import jsonl_blocks
from lib.data.reading.json_lines import Late, json_keys, json_records, jsonl_rows
from lib.data.reading.parquet_source import parquet_blocks, parquet_file, parquet_rows
from lib.data.reading.sources import FileFormat, Source, open_source
from lib.errors import InputError

TEXT = "text"  # the one column of a plain text, which is one row
_LONGEST_TEXT = 1 << 29
_Part = TypeVar("_Part", bound=Block)


def has_rows(source: Source, dialect: Dialect = USUAL) -> bool:
    """Whether a file has any row. Raises InputError where it can't be read so far."""
    if source.format is FileFormat.PARQUET:
        with parquet_file(source) as parquet:
            return bool(parquet.metadata.num_rows)
    if source.format is FileFormat.JSONL:
        return next(json_records(source), None) is not None
    if source.format is FileFormat.TEXT:
        with open_source(source) as file:
            return bool(file.read(1))
    return csv_has_rows(source, dialect)


def with_rows(sources: Sequence[Source], dialect: Dialect = USUAL) -> list[Source]:
    """Of several files those that have rows; a single one stays, whatever it holds.

    Raises InputError where none has, or one can't be read so far.
    """
    if len(sources) == 1:
        return list(sources)
    filled = [source for source in sources if has_rows(source, dialect)]
    if not filled:
        raise InputError(f"{sources[0].url} and {len(sources) - 1} more files: none of them has any rows")
    return filled


def column_names(source: Source, dialect: Dialect = USUAL, end: int | None = None) -> list[str]:
    """Names of the columns of a file; of JSONL, the keys of its first rows.

    end: rows from this on don't count. Raises InputError, also where two columns have one name.
    """
    if source.format is FileFormat.PARQUET:
        with parquet_file(source) as parquet:
            names = list(parquet.schema_arrow.names)
    elif source.format is FileFormat.TEXT:
        return [TEXT]
    elif source.format is FileFormat.JSONL:
        names = json_keys(source, end)
    else:
        names = csv_header(source, dialect)
    if not names:
        raise InputError(f"{source.url}: the file is empty")
    if repeated := [name for name in dict.fromkeys(names) if name and names.count(name) > 1]:
        raise InputError(
            f"{source.url}: column {repeated[0]!r} is there twice, so it is unclear which is meant; the columns are "
            f"{names}; rename or remove one"
        )
    return names


def column_types(
    source: Source, columns: Collection[str], dialect: Dialect = USUAL, end: int | None = None
) -> dict[str, pa.DataType]:
    """The types of those of the columns that a file has: those of Parquet, as results keep them; elsewhere text."""
    if source.format is not FileFormat.PARQUET:
        return {name: pa.string() for name in column_names(source, dialect, end) if name in columns}
    column_names(source)  # refuses what is there twice
    with parquet_file(source) as parquet:
        return {f.name: settled(f.type) for f in parquet.schema_arrow if f.name in columns}


def batches(
    source: Source,
    columns: Sequence[str],
    dialect: Dialect = USUAL,
    *,
    end: int | None = None,
    as_arrow: Collection[str] = (),
    late: Late | None = None,
) -> Iterator[Cells]:
    """The cells of some columns of a file, in its order, at most `BATCH_ROWS` rows at a time.

    Cells of CSV are strings, empty ones None. end: rows from this on are not looked at. as_arrow: columns of Parquet
    that are given as arrays. late: hears of keys of JSONL that `column_names` couldn't know. A row that can't be read,
    where the next one can, is `BadLine`s. Raises InputError for a file that can't be read on, or has no rows.
    """
    if source.format is FileFormat.PARQUET:
        parts = parquet_rows(source, columns, end, as_arrow)
    elif source.format is FileFormat.JSONL:
        parts = jsonl_rows(source, columns, end, late)
    elif source.format is FileFormat.TEXT:
        parts = _text(source, columns)
    else:
        parts = csv_rows(source, columns, dialect, end)
    return _some(source, parts)


def blocks(
    source: Source,
    columns: Sequence[str],
    dialect: Dialect = USUAL,
    *,
    end: int | None = None,
    as_arrow: Collection[str] = (),
    late: Late | None = None,
) -> Iterator[Block]:
    """The same cells, but those of some MB at a time as Arrow columns, unless something in them is odd.

    end, as_arrow, late: as of `batches`. Raises InputError as `batches` does.
    """
    parts: Iterator[Block]
    if source.format is FileFormat.PARQUET:
        parts = parquet_blocks(source, columns, 0, end, as_arrow)
    elif source.format is FileFormat.JSONL:
        parts = jsonl_blocks(source, columns, end, late)
    elif source.format is FileFormat.TEXT:
        parts = _text(source, columns)
    else:
        parts = csv_blocks(source, columns, dialect, end)
    return _some(source, parts)


def _some(source: Source, parts: Iterable[_Part]) -> Iterator[_Part]:
    empty = True
    for part in parts:
        empty = False
        yield part
    if empty:
        raise InputError(f"{source.url}: the file has no rows")


def _text(source: Source, columns: Sequence[str]) -> Iterator[Cells]:
    content = io.BytesIO()
    with open_source(source) as file:
        while block := file.read(BUFFER_BYTES):
            content.write(block)
            if content.tell() > _LONGEST_TEXT:
                raise InputError(f"{source.url}: longer than {_LONGEST_TEXT >> 20} MiB; a text must be one document")
    cell = _decoded(content.getvalue())
    yield {name: [cell] for name in columns}


def _decoded(text: bytes) -> str | Unreadable | None:
    if name := other_encoding(text[:BUFFER_BYTES]):
        return Unreadable(f"the file is {name}, not UTF-8; {convert(name)}")
    try:
        return text.decode("utf-8-sig") or None
    except UnicodeDecodeError as error:
        return Unreadable(f"{not_utf8(text)} (at byte {error.start})")
