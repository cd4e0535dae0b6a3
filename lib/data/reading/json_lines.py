"""Cells of JSONL sources: each line an object, whose keys are the columns."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

from lib.data.reading.cells import BATCH_ROWS, BadLine, Cells, Unreadable
from lib.data.reading.encodings import lines, not_utf8
from lib.data.reading.sources import UNFINISHED, Source, open_source
from lib.errors import InputError

Late = Callable[[list[str], str, int], list[str]]
"""Given all keys so far, and one that came first now, in which row: the columns to be read from now on."""

KNOWN_ROWS = 4 * BATCH_ROWS  # whose keys are taken for all

MOST_LEVELS = 500  # of a value: half of what Python's own reader and writer can do, which start inside other calls
_ARRAY = "; if the file is one JSON array, make lines of it (jq -c '.[]')"
_DEEP = "\0nested too deep"
_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)  # and texts, in which brackets are letters


def jsonl_rows(source: Source, columns: Sequence[str], end: int | None, late: Late | None) -> Iterator[Cells]:
    """The cells of all rows, or of those before `end`. late: hears of keys that come behind KNOWN_ROWS."""
    return JsonCells(columns, late).of(islice(json_records(source), end))


class JsonCells:
    """The cells of some columns, of records in their order, and the keys that these have.

    late: hears of keys that come behind KNOWN_ROWS. row: number of the next row.
    """

    def __init__(self, columns: Sequence[str], late: Late | None) -> None:
        self.columns = columns
        self.keys: dict[str, None] = {}
        self.row = 0
        self._late = late

    def of(self, records: Iterator[dict[str, Any] | BadLine]) -> Iterator[Cells]:
        """The cells of the next records."""
        while batch := list(islice(records, BATCH_ROWS)):
            for record in batch:
                if isinstance(record, dict) and not record.keys() <= self.keys.keys():
                    self._learn([key for key in record if key not in self.keys])
                self.row += 1
            yield {
                name: [record.get(name) if isinstance(record, dict) else record for record in batch]
                for name in self.columns
            }

    def _learn(self, new: list[str]) -> None:
        self.keys |= dict.fromkeys(new)
        if self._late is not None and self.row >= KNOWN_ROWS:
            for key in new:
                self.columns = self._late(list(self.keys), key, self.row)


def json_keys(source: Source, end: int | None) -> list[str]:
    """The keys of the first KNOWN_ROWS rows, or of those before `end`. Raises InputError where none can be read."""
    keys: dict[str, None] = {}
    bad: BadLine | None = None
    for record in islice(json_records(source), KNOWN_ROWS if end is None else min(end, KNOWN_ROWS)):
        if isinstance(record, dict):
            keys |= dict.fromkeys(record)
        else:
            bad = bad or record
    if bad and not keys:
        raise InputError(f"{source.url}, {bad.reason}")
    return list(keys)


def json_records(source: Source) -> Iterator[dict[str, Any] | BadLine]:
    """The objects of a source, and what stands for lines that are none."""
    with open_source(source) as file:
        yield from records_of(source, file)


def records_of(source: Source, file: BinaryIO, first_line: int = 1) -> Iterator[dict[str, Any] | BadLine]:
    """As `json_records`, of a file of which the lines from `first_line` on are left."""
    for number, line in enumerate(lines(source.url, file, first_line), first_line):
        if line.isspace():
            continue
        record: dict[str, Any] | BadLine
        try:
            record = _record(line)
        except ValueError as error:
            cut = "" if line.endswith(b"\n") else f"; the file ends here: {UNFINISHED}"
            record = BadLine(f"line {number}: {error}{cut}")
        except MemoryError as error:
            raise InputError(f"{source.url}, line {number}: there is not enough memory for what it holds") from error
        yield record


def _record(line: bytes) -> dict[str, Any]:
    """The object in a line. Raises ValueError, saying why, where there is none."""
    try:
        text = line.decode("utf-8", "surrogatepass").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise ValueError(not_utf8(line)) from None
    deep = text.count("[") + text.count("{") > MOST_LEVELS
    try:
        record = json.loads(_without_deep_values(text) if deep else text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        array = _ARRAY if text.strip() == "[" else ""
        raise ValueError(f"malformed JSON ({error}){array}") from error
    if not isinstance(record, dict):
        raise ValueError(f"not a JSON object, as each line must be{_ARRAY if isinstance(record, list) else ''}")
    for key in [key for key, value in record.items() if deep and value == _DEEP]:
        record[key] = Unreadable(f"nested more than {MOST_LEVELS} levels deep")
    return record


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in found if names.count(name) > 1)!r} is there twice")
    return found


def _without_deep_values(text: str) -> str:
    """The text of an object, with _DEEP for those of its values that are nested too deep: the others can be read."""
    kept: list[str] = []
    depth = deepest = start = done = 0
    for token in _BRACKETS.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == 2:
                start, deepest = token.start(), 0
            deepest = max(deepest, depth)
        elif token[0] in "]}":
            depth -= 1
            if depth == 1 and deepest > MOST_LEVELS:
                kept += [text[done:start], json.dumps(_DEEP)]
                done = token.end()
    return "".join([*kept, text[done:]])
