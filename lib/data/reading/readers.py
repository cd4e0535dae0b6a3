"""Raw cells of source files, a few rows at a time: memory stays flat however large the file."""

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.parquet import require_rows, require_sound
from lib.data.reading.arrow_types import settled
from lib.data.reading.dialect import SEPARATORS, USUAL, Dialect, Quotes, better_separator
from lib.data.reading.encodings import convert, not_utf8, other_encoding
from lib.data.reading.sources import FileFormat, Source, open_source
from lib.errors import InputError

Cells = dict[str, Any]
"""Column name -> cells of consecutive rows: a list of Python objects (Arrow can't hold what JSON can: mixed types and
lone surrogates), or a pa.Array where that was asked for."""

Late = Callable[[list[str], str, int], list[str]]
"""Given all keys so far, and one that came first now, in which row: the columns to be read from now on."""

BATCH_ROWS = 256
KNOWN_ROWS = 4 * BATCH_ROWS  # of JSONL, whose keys are its columns
TEXT = "text"  # the one column of a plain text, which is one row
_BUFFER_BYTES = 1 << 20
_LONGEST = 1 << 26  # bytes of a line, characters of a cell: refused before a packed file fills the memory
_LONGEST_TEXT = 1 << 29


@dataclass(frozen=True)
class Unreadable:
    """A cell of Parquet that is no Python value: bytes that are not UTF-8, a time of the year 150,000."""

    reason: str

    def __str__(self) -> str:
        return f"({self.reason})"


def has_rows(source: Source, dialect: Dialect = USUAL) -> bool:
    """Whether a file has any row. Raises InputError where it can't be read so far."""
    if source.format is FileFormat.PARQUET:
        with _parquet_file(source) as parquet:
            return bool(parquet.metadata.num_rows)
    if source.format is FileFormat.JSONL:
        return next(_json_records(source), None) is not None
    if source.format is FileFormat.TEXT:
        with open_source(source) as file:
            return bool(file.read(1))
    return len(list(islice(_csv_records(source, dialect), 2))) == 2


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
        with _parquet_file(source) as parquet:
            names = list(parquet.schema_arrow.names)
    elif source.format is FileFormat.TEXT:
        return [TEXT]
    elif source.format is FileFormat.JSONL:
        records = islice(_json_records(source), KNOWN_ROWS if end is None else min(end, KNOWN_ROWS))
        names = list(dict.fromkeys(key for record in records for key in record))
    else:
        names = next(_csv_records(source, dialect), [])
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
    with _parquet_file(source) as parquet:
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
    that are given as arrays. late: hears of keys of JSONL that `column_names` couldn't know.
    Raises InputError naming file and row for what is malformed, and for a file without rows.
    """
    if source.format is FileFormat.PARQUET:
        parts = _parquet(source, columns, end, as_arrow)
    elif source.format is FileFormat.JSONL:
        parts = _jsonl(source, columns, end, late)
    elif source.format is FileFormat.TEXT:
        parts = _text(source, columns)
    else:
        parts = _csv(source, columns, dialect, end)
    empty = True
    for cells in parts:
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


def parquet_cells(
    source: Source, columns: Sequence[str], start: int, stop: int, as_arrow: Collection[str] = ()
) -> Iterator[Cells]:
    """The cells of rows [start, stop) of a Parquet source, some of its columns as arrays. Raises InputError."""
    with _parquet_file(source) as parquet:
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
    with _parquet_file(source) as parquet:
        groups = (parquet.metadata.row_group(group) for group in range(parquet.num_row_groups))
        return max((group.total_byte_size for group in groups), default=0)


@contextmanager
def _parquet_file(source: Source) -> Iterator[pq.ParquetFile]:
    with open_source(source) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)
        require_sound(parquet)
        yield parquet


def _parquet(source: Source, columns: Sequence[str], end: int | None, as_arrow: Collection[str]) -> Iterator[Cells]:
    with _parquet_file(source) as parquet:
        rows = parquet.metadata.num_rows
    return parquet_cells(source, columns, 0, rows if end is None else min(rows, end), as_arrow)


def _jsonl(source: Source, columns: Sequence[str], end: int | None, late: Late | None) -> Iterator[Cells]:
    records = islice(_json_records(source), end)
    keys: dict[str, None] = {}
    row = 0
    while batch := list(islice(records, BATCH_ROWS)):
        for record in batch:
            if late is not None and not record.keys() <= keys.keys():
                new = [key for key in record if key not in keys]
                keys |= dict.fromkeys(new)
                if row >= KNOWN_ROWS:
                    for key in new:
                        columns = late(list(keys), key, row)
            row += 1
        yield {name: [record.get(name) for record in batch] for name in columns}


def _json_records(source: Source) -> Iterator[dict[str, Any]]:
    with open_source(source) as file:
        for number, line in enumerate(lines(source.url, file), 1):
            where = f"{source.url}, line {number}"
            if line.isspace():
                continue
            try:
                text = line.decode("utf-8", "surrogatepass").removeprefix("\ufeff")
                record = json.loads(text, object_pairs_hook=_object)
            except UnicodeDecodeError as error:
                raise InputError(f"{where}: {not_utf8(line)}") from error
            except (ValueError, RecursionError) as error:
                raise InputError(f"{where}: malformed JSON ({error})") from error
            except MemoryError as error:
                raise InputError(f"{where}: there is not enough memory for what it holds") from error
            if not isinstance(record, dict):
                raise InputError(f"{where}: not a JSON object, as each line must be")
            yield record


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in found if names.count(name) > 1)!r} is there twice")
    return found


def lines(url: str, file: BinaryIO) -> Iterator[bytes]:
    """Lines, none of which is taken in whole before it is known to be of bearable length. Raises InputError."""
    number = 0
    while line := file.readline(_LONGEST + 1):
        number += 1
        if number == 1 and (name := other_encoding(line)):
            raise InputError(f"{url}: the file is {name}, not UTF-8; {convert(name)}")
        if len(line) > _LONGEST:
            raise InputError(
                f"{url}, line {number}: the line is longer than {_LONGEST >> 20} MiB; is this the right file?"
            )
        yield line


def _text(source: Source, columns: Sequence[str]) -> Iterator[Cells]:
    content = io.BytesIO()
    with open_source(source) as file:
        while block := file.read(_BUFFER_BYTES):
            content.write(block)
            if content.tell() > _LONGEST_TEXT:
                raise InputError(f"{source.url}: longer than {_LONGEST_TEXT >> 20} MiB; a text must be one document")
    read = content.getvalue()
    if name := other_encoding(read[:_BUFFER_BYTES]):
        raise InputError(f"{source.url}: the file is {name}, not UTF-8; {convert(name)}")
    try:
        text = read.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{source.url}: {not_utf8(read)} (at byte {error.start})") from error
    yield {name: [text or None] for name in columns}


def _csv(source: Source, columns: Sequence[str], dialect: Dialect, end: int | None) -> Iterator[Cells]:
    records = _csv_records(source, dialect)
    header = next(records, [])
    positions = {name: header.index(name) for name in columns}
    records = islice(records, end)
    first_row = 0
    while batch := list(islice(records, BATCH_ROWS)):
        cells: Cells = {name: [record[at] or None for record in batch] for name, at in positions.items()}
        for name, column in cells.items():
            for row, cell in enumerate(column, first_row):
                _require_utf8(cell or "", f"{source.url}, row {row}, column {name}")
        yield cells
        first_row += len(batch)


def _csv_records(source: Source, dialect: Dialect) -> Iterator[list[str]]:
    """Header and rows. The csv module rather than Arrow's reader: that one swallows rows after an open quote."""
    csv.field_size_limit(_LONGEST)
    separator = dialect.separator or ("\t" if source.format is FileFormat.TSV else ",")
    quoting: Literal[0, 3] = csv.QUOTE_NONE if dialect.quotes is Quotes.none else csv.QUOTE_MINIMAL
    unsure = separator == "\t" and dialect.quotes is None  # tabs are often written without any quoting
    row = -1  # of the record read last; the header is -1
    lines: list[str] = []  # of the record read last
    with open_source(source) as file:
        reader = csv.reader(_text_lines(source, file, lines), delimiter=separator, quoting=quoting, strict=True)
        records = filter(None, reader)  # blank lines are no rows, as in pandas
        try:
            header = next(records, None)
            if header is None:
                return
            _require_header(header, separator, dialect, source)
            if unsure:
                _require_one_row(lines, separator, lines[0].count(separator), f"{source.url}, header")
            yield header
            lines.clear()
            for row, record in enumerate(records):
                where = f"{source.url}, row {row} (ends in line {reader.line_num})"
                if len(record) != len(header):
                    hint = f"; {_AS_LETTERS}" if '"' in "".join(lines) else ""
                    raise InputError(f"{where}: {len(record)} cells where the header has {len(header)}{hint}")
                if unsure:
                    _require_one_row(lines, separator, len(header) - 1, where)
                yield record
                lines.clear()
        except csv.Error as error:
            where = f"{source.url}, row {row + 1} (line {reader.line_num})"
            raise InputError(
                f"{where}: malformed CSV ({error}); is a quote left open or not doubled? {_AS_LETTERS}"
            ) from error
        except MemoryError as error:
            where = f"{source.url}, row {row + 1} (line {reader.line_num})"
            raise InputError(f"{where}: there is not enough memory for what it holds") from error


_AS_LETTERS = "data.quotes=none takes quotes as letters"


def _require_one_row(lines: Sequence[str], separator: str, separators: int, where: str) -> None:
    """Raise InputError where each line of a row has so many separators, as if it were a row itself."""
    counts = [line.count(separator) for line in lines]
    if len(counts) > 1 and set(counts) == {separators}:
        raise InputError(
            f"{where}: from one quote to the next there are {len(counts)} lines, each of which could be a row of its "
            f"own; {_AS_LETTERS}, data.quotes=double makes them one row"
        )


def _text_lines(source: Source, file: BinaryIO, taken: list[str]) -> Iterator[str]:
    """Lines, of bearable length; those that are not blank are put into `taken`."""
    # Bytes that are not UTF-8 become lone surrogates, so that they can be reported with their row.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    number = 0
    while line := text.readline(_LONGEST + 1):
        number += 1
        if number == 1 and (name := other_encoding(line.encode("utf-8", "surrogateescape"))):
            raise InputError(f"{source.url}: the file is {name}, not UTF-8; {convert(name)}")
        if len(line) > _LONGEST:
            where = f"{source.url}, line {number}"
            raise InputError(f"{where}: the line is longer than {_LONGEST >> 20} MiB; is this the right file?")
        if line.strip("\r\n"):
            taken.append(line)
        yield line


def _require_header(header: list[str], separator: str, dialect: Dialect, source: Source) -> None:
    _require_utf8(separator.join(header), f"{source.url}, header")
    if dialect.separator is None and (other := better_separator(header, separator)):
        spelled = "\\t" if other == "\t" else other
        raise InputError(
            f"{source.url}: the columns seem to be separated by {SEPARATORS[other]} ({spelled!r}), not by "
            f"{SEPARATORS[separator]}: the header is {header}; set 'data.separator=\"{spelled}\"' (in quotes), or "
            f"'data.separator=\"{separator if separator != chr(9) else chr(92) + 't'}\"' if it is right as it is"
        )


def _require_utf8(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raw = text.encode("utf-8", "surrogateescape")
        raise InputError(f"{where}: {not_utf8(raw)} (at character {error.start})") from error
