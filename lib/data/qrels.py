"""Relevance judgements from a file."""

from collections.abc import Iterator

from lib.data.reading.encodings import lines, not_utf8
from lib.data.reading.sources import Source, open_source, text_source
from lib.errors import InputError

_FORMATS = "a line is 'query document grade' (BEIR, with or without a header) or 'query 0 document grade' (TREC)"
_GRADE_HEADERS = {"score", "grade", "relevance", "rel", "label"}


def read_qrels(path: str) -> dict[str, dict[str, int]]:
    """Query -> document -> grade, in the order of the file. path: also a URL; .gz and .zst are unpacked.

    BEIR has three columns and perhaps a header, TREC four, the second of which is not used. Columns are separated by
    tabs where the first line has any, else by blanks. Empty lines are passed over; a judgement may be repeated.
    Raises InputError, with file and line, for another number of columns, a grade that is no whole number, a document
    judged twice with different grades; and for a file that cannot be read or has no judgements.
    """
    qrels: dict[str, dict[str, int]] = {}
    columns, separator = 0, None
    source = text_source(path, "qrels")
    for number, line in _lines(source):
        where = f"{source.url} line {number}"
        if not columns:
            separator = "\t" if "\t" in line else None
            columns = len(line.split(separator))
            if columns not in (3, 4):
                raise InputError(f"{where}: {columns} columns; {_FORMATS}")
            if line.split(separator)[-1].strip().lower() in _GRADE_HEADERS:
                continue
        cells = [cell.strip() for cell in line.split(separator)]
        if len(cells) != columns:
            raise InputError(f"{where}: {len(cells)} columns, where the first line has {columns}; {_FORMATS}")
        query, document, grade = cells[0], cells[-2], cells[-1]
        if not query or not document:
            raise InputError(f"{where}: an empty {'document' if query else 'query'}; {_FORMATS}")
        try:
            value = _whole(grade)
        except ValueError as error:
            raise InputError(f"{where}: the grade {grade!r} is no whole number below 2**31; {_FORMATS}") from error
        if qrels.setdefault(query, {}).setdefault(document, value) != value:
            earlier = qrels[query][document]
            raise InputError(
                f"{where}: query {query}, document {document} has the grade {value}, before it had {earlier}"
            )
    if not qrels:
        raise InputError(f"{source.url}: no judgements in it; {_FORMATS}")
    return qrels


def _whole(grade: str) -> int:
    """A whole number, also one written with a point, as pandas does."""
    number = float(grade)
    if not (number.is_integer() and abs(number) < 2**31):  # trec_eval's numbers are C's
        raise ValueError(grade)
    return int(number)


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, numbered from 1."""
    with open_source(source) as file:
        for number, line in enumerate(lines(source.url, file), 1):
            if text := _text(line, f"{source.url} line {number}"):
                yield number, text


def _text(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8-sig").strip("\r\n") if line.strip() else ""
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: {not_utf8(line)}") from error
