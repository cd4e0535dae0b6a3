"""Cells of CSV and TSV sources."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import BinaryIO, Literal

from lib.data.reading.cells import BATCH_ROWS, LONGEST, BadLine, Cells, Unreadable
from lib.data.reading.dialect import SEPARATORS, Dialect, Quotes, better_separator
from lib.data.reading.encodings import convert, not_utf8, other_encoding
from lib.data.reading.sources import UNFINISHED, FileFormat, Source, open_source
from lib.errors import InputError

Record = list[str] | BadLine

_OPEN = "unexpected end of data"  # says the csv module where a file ends within quotes
_AS_LETTERS = "data.quotes=none takes quotes as letters"


def csv_rows(source: Source, columns: Sequence[str], dialect: Dialect, end: int | None) -> Iterator[Cells]:
    """The cells of all rows, or of those before `end`: strings, empty ones None."""
    records = csv_records(source, dialect)
    header = next(records, [])
    assert isinstance(header, list)
    positions = {name: header.index(name) for name in columns}
    records = islice(records, end)
    while batch := list(islice(records, BATCH_ROWS)):
        yield {name: [_cell(record, at) for record in batch] for name, at in positions.items()}


def _cell(record: Record, place: int) -> str | Unreadable | None:
    if isinstance(record, BadLine):
        return record
    problem = _not_utf8(record[place])
    return Unreadable(problem) if problem else record[place] or None


def csv_header(source: Source, dialect: Dialect) -> list[str]:
    """The names of the columns; none where the file is empty. Raises InputError."""
    header = next(csv_records(source, dialect), [])
    assert isinstance(header, list)
    return header


def csv_records(source: Source, dialect: Dialect) -> Iterator[Record]:
    """Header and rows. The csv module rather than Arrow's reader: that one swallows rows after an open quote.

    A row of several lines that is malformed ends the reading with InputError where one of them could be a row of its
    own: a quote that was left open would swallow rows.
    """
    csv.field_size_limit(LONGEST)
    separator = dialect.separator or ("\t" if source.format is FileFormat.TSV else ",")
    quoting: Literal[0, 3] = csv.QUOTE_NONE if dialect.quotes is Quotes.none else csv.QUOTE_MINIMAL
    unsure = separator == "\t" and dialect.quotes is None  # tabs are often written without any quoting
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
            for row in count():
                lines.clear()
                try:
                    record: Record | None = next(records, None)
                except csv.Error as error:
                    record = BadLine(_malformed(error))
                if record is None:
                    return
                where = f"{source.url}, row {row} (ends in line {reader.line_num})"
                if isinstance(record, list) and len(record) != len(header):
                    hint = f"; {_AS_LETTERS}" if '"' in "".join(lines) else ""
                    record = BadLine(f"{len(record)} cells where the header has {len(header)}{hint}")
                if isinstance(record, BadLine):
                    record = _cut_off(record, lines)
                    if any(line.count(separator) >= len(header) - 1 for line in lines[1:]):
                        raise InputError(f"{where}: {record.reason}")
                    record = BadLine(f"line {reader.line_num}: {record.reason}")
                elif unsure:
                    _require_one_row(lines, separator, len(header) - 1, where)
                yield record
        except csv.Error as error:
            raise InputError(f"{source.url}, header: {_malformed(error)}") from error
        except MemoryError as error:
            where = f"{source.url}, line {reader.line_num}"
            raise InputError(f"{where}: there is not enough memory for what it holds") from error


def _malformed(error: csv.Error) -> str:
    return f"malformed CSV ({error}); is a quote left open or not doubled? {_AS_LETTERS}"


def _cut_off(record: BadLine, lines: Sequence[str]) -> BadLine:
    """The same with a hint, where it is the end of the file that makes it a bad one."""
    whole = not lines or lines[-1].endswith(("\n", "\r"))
    return (
        record
        if whole and _OPEN not in record.reason
        else BadLine(f"{record.reason}; the file ends here: {UNFINISHED}")
    )


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
    while line := text.readline(LONGEST + 1):
        number += 1
        if number == 1 and (name := other_encoding(line.encode("utf-8", "surrogateescape"))):
            raise InputError(f"{source.url}: the file is {name}, not UTF-8; {convert(name)}")
        if len(line) > LONGEST:
            where = f"{source.url}, line {number}"
            raise InputError(f"{where}: the line is longer than {LONGEST >> 20} MiB; is this the right file?")
        if line.strip("\r\n"):
            taken.append(line)
        yield line


def _require_header(header: list[str], separator: str, dialect: Dialect, source: Source) -> None:
    if problem := _not_utf8(separator.join(header)):
        raise InputError(f"{source.url}, header: {problem}")
    if header[0].lower().startswith("sep=") and len(header) <= 2:
        raise InputError(
            f"{source.url}, line 1: tells Excel the separator; delete the line, and where it is no comma, set it with "
            "'data.separator=\";\"'"
        )
    if dialect.separator is None and (other := better_separator(header, separator)):
        spelled = "\\t" if other == "\t" else other
        raise InputError(
            f"{source.url}: the columns seem to be separated by {SEPARATORS[other]} ({spelled!r}), not by "
            f"{SEPARATORS[separator]}: the header is {header}; set 'data.separator=\"{spelled}\"' (in quotes), or "
            f"'data.separator=\"{separator if separator != chr(9) else chr(92) + 't'}\"' if it is right as it is"
        )


def _not_utf8(text: str) -> str | None:
    """What is wrong with a text, where lone surrogates in it stand for bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"{not_utf8(text.encode('utf-8', 'surrogateescape'))} (at character {error.start})"
    return None
