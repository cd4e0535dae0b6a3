"""Cells of CSV and TSV sources."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import BinaryIO, Literal, TextIO, cast

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
    with open_source(source) as file:
        reader = CsvReader(source, dialect, decoded(file))
        reader.read_header()
        yield from reader.cells(columns, end)


def _cell(record: Record, place: int) -> str | Unreadable | None:
    if isinstance(record, BadLine):
        return record
    problem = _not_utf8(record[place])
    return Unreadable(problem) if problem else record[place] or None


def csv_header(source: Source, dialect: Dialect) -> list[str]:
    """The names of the columns; none where the file is empty. Raises InputError."""
    with open_source(source) as file:
        return CsvReader(source, dialect, decoded(file)).read_header()


def csv_has_rows(source: Source, dialect: Dialect) -> bool:
    """Whether there is a row below the header. Raises InputError where it can't be read so far."""
    with open_source(source) as file:
        reader = CsvReader(source, dialect, decoded(file))
        return bool(reader.read_header()) and next(reader.records(), None) is not None


def decoded(file: BinaryIO | io.RawIOBase, encoding: str = "utf-8-sig") -> TextIO:
    """Text for a CsvReader. Bytes that are not UTF-8 become lone surrogates, to be reported with their row."""
    return io.TextIOWrapper(cast(BinaryIO, file), encoding, errors="surrogateescape", newline="")


class CsvReader:
    """Header and rows. The csv module rather than Arrow's reader: that one swallows rows after an open quote.

    row: number of the next row; lines, bytes: how much of the text was read for the rows before it.
    """

    def __init__(self, source: Source, dialect: Dialect, text: TextIO) -> None:
        self.header: list[str] = []
        self.row = self.lines = self.bytes = 0
        self._source, self._dialect = source, dialect
        self.separator = dialect.separator or ("\t" if source.format is FileFormat.TSV else ",")
        self.quoting = dialect.quotes is not Quotes.none
        self.unsure = self.separator == "\t" and dialect.quotes is None  # tabs are often written without any quoting
        self.read_on(text)

    def read_on(self, text: TextIO) -> None:
        """Go on in another text, which begins where a row does."""
        csv.field_size_limit(LONGEST)
        self._taken: list[str] = []  # the lines of the record read last
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quoting else csv.QUOTE_NONE
        reader = csv.reader(self._text_lines(text), delimiter=self.separator, quoting=quoting, strict=True)
        self._records = filter(None, reader)  # blank lines are no rows, as in pandas

    def read_header(self) -> list[str]:
        """The names of the columns; none where the file is empty. Raises InputError."""
        try:
            header = next(self._records, [])
        except csv.Error as error:
            raise InputError(f"{self._source.url}, header: {_malformed(error)}") from error
        except MemoryError as error:
            raise self._too_large() from error
        if header:
            _require_header(header, self.separator, self._dialect, self._source)
            if self.unsure:
                self._require_one_row(self._taken[0].count(self.separator), "header")
        self.header = header
        return header

    def cells(self, columns: Sequence[str], end: int | None) -> Iterator[Cells]:
        """The cells of the rows that are left, or of those before `end`: strings, empty ones None."""
        positions = {name: self.header.index(name) for name in columns}
        records = islice(self.records(), None if end is None else max(end - self.row, 0))
        while batch := list(islice(records, BATCH_ROWS)):
            yield {name: [_cell(record, at) for record in batch] for name, at in positions.items()}

    def records(self) -> Iterator[Record]:
        """The rows that are left.

        A row of several lines that is malformed ends the reading with InputError where one of them could be a row of
        its own: a quote that was left open would swallow rows.
        """
        while True:
            self._taken.clear()
            try:
                record: Record | None = next(self._records, None)
            except csv.Error as error:
                record = BadLine(_malformed(error))
            except MemoryError as error:
                raise self._too_large() from error
            if record is None:
                return
            where = f"row {self.row} (ends in line {self.lines})"
            if isinstance(record, list) and len(record) != len(self.header):
                hint = f"; {_AS_LETTERS}" if '"' in "".join(self._taken) else ""
                record = BadLine(f"{len(record)} cells where the header has {len(self.header)}{hint}")
            if isinstance(record, BadLine):
                record = _cut_off(record, self._taken)
                if any(line.count(self.separator) >= len(self.header) - 1 for line in self._taken[1:]):
                    raise InputError(f"{self._source.url}, {where}: {record.reason}")
                record = BadLine(f"line {self.lines}: {record.reason}")
            elif self.unsure:
                self._require_one_row(len(self.header) - 1, where)
            self.row += 1
            yield record

    def _require_one_row(self, separators: int, where: str) -> None:
        """Raise InputError where each line of a row has so many separators, as if it were a row itself."""
        counts = [line.count(self.separator) for line in self._taken]
        if len(counts) > 1 and set(counts) == {separators}:
            raise InputError(
                f"{self._source.url}, {where}: from one quote to the next there are {len(counts)} lines, each of which "
                f"could be a row of its own; {_AS_LETTERS}, data.quotes=double makes them one row"
            )

    def _text_lines(self, text: TextIO) -> Iterator[str]:
        """Lines, of bearable length; those that are not blank are put into `_taken`."""
        url = self._source.url
        while line := text.readline(LONGEST + 1):
            self.lines += 1
            content = line.encode("utf-8", "surrogateescape")
            self.bytes += len(content)
            if self.lines == 1 and (name := other_encoding(content)):
                raise InputError(f"{url}: the file is {name}, not UTF-8; {convert(name)}")
            if len(line) > LONGEST:
                raise InputError(
                    f"{url}, line {self.lines}: the line is longer than {LONGEST >> 20} MiB; is this the right file?"
                )
            if line.strip("\r\n"):
                self._taken.append(line)
            yield line

    def _too_large(self) -> InputError:
        return InputError(f"{self._source.url}, line {self.lines}: there is not enough memory for what it holds")


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
