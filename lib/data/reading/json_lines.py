"""Cells of JSONL sources: each line an object, whose keys are the columns."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from lib.data.reading.cells import BATCH_ROWS, Cells
from lib.data.reading.encodings import lines, not_utf8
from lib.data.reading.sources import Source, open_source
from lib.errors import InputError

Late = Callable[[list[str], str, int], list[str]]
"""Given all keys so far, and one that came first now, in which row: the columns to be read from now on."""

KNOWN_ROWS = 4 * BATCH_ROWS  # whose keys are taken for all


def jsonl_rows(source: Source, columns: Sequence[str], end: int | None, late: Late | None) -> Iterator[Cells]:
    """The cells of all rows, or of those before `end`. late: hears of keys that come behind KNOWN_ROWS."""
    records = islice(json_records(source), end)
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


def json_records(source: Source) -> Iterator[dict[str, Any]]:
    """The objects of a source. Raises InputError naming the line of what is none."""
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
