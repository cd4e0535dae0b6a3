"""An index of a folder's shards: one file that says what their footers say, so that not each need be opened.

It is a cache. Of a shard it is trusted where size and time of change are still those of the file; it can be missing,
damaged, old, or written by two at once, and then footers are read from the shards themselves.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from lib.data import parquet
from lib.errors import RunFolderError
from lib.log import log

NAME = "_footers"  # by its first letter, readers of a folder of Parquet know that it is no part of the table

Stat = tuple[int, int]
"""Size in bytes, and time of change in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a shard's file: how it was when its footer was read, and the footer, as JSON has it."""

    stat: Stat
    footer: Mapping[str, Any]


def look(folder: Path) -> dict[str, Stat] | None:
    """The files of a folder, by name, as far as it can be listed; None where there is no such folder."""
    found: dict[str, Stat] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # removed since it was listed
                    stat = entry.stat()
                    found[entry.name] = (stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.debug("%s: cannot be listed (%s)", folder, error)
    return found


def read_index(folder: Path) -> dict[str, Entry]:
    """What the index of a folder says, by name of the shard's file; nothing where it can't be read."""
    if not (folder / NAME).exists():
        return {}
    try:
        columns = [column.to_pylist() for column in parquet.read(folder / NAME, _SCHEMA.names).columns]
        return {
            name: Entry((size, time), json.loads(footer)) for name, size, time, footer in zip(*columns, strict=True)
        }
    except (RunFolderError, ValueError, TypeError) as error:
        log.debug("%s: footers are read one by one (%s)", folder, error)
        return {}


def write_index(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Write the index of a folder, whole; where that is not possible, there is none."""
    columns = [
        list(entries),
        [entry.stat[0] for entry in entries.values()],
        [entry.stat[1] for entry in entries.values()],
        [json.dumps(entry.footer) for entry in entries.values()],
    ]
    try:
        parquet.write(pa.table(columns, schema=_SCHEMA), folder / NAME)
    except OSError as error:  # such as of a folder that only its owner may write into
        log.debug("%s: no index of footers was written (%s)", folder, error)


_SCHEMA = pa.schema([("name", pa.string()), ("size", pa.int64()), ("mtime_ns", pa.int64()), ("footer", pa.string())])
