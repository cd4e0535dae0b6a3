"""Segments: the files of a store. Written once, sorted by key, and never changed, so that many may read and write."""

import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.data.atomic import HEX, PROBE, TEMPORARY
from lib.data.joining.key_group import halves
from lib.data.joining.keys import KEY
from lib.data.parquet import require_rows, require_sound, writer

SUFFIX = ".parquet"
_NEW = ".new"
LEFTOVERS = (PROBE, TEMPORARY, f"*-{HEX * 12}{_NEW}")
"""What killed processes leave beside segments, as patterns for `remove_leftovers`."""
GROUP_ROWS = 8192
_QUESTION, _CREATED = b"overnight.question", b"overnight.created"


@dataclass(frozen=True)
class Segment:
    """A segment, opened once: its footer is kept. created: seconds since 1970, by the clock of whoever wrote it."""

    path: Path
    metadata: pq.FileMetaData
    created: float
    bytes: int

    @property
    def rows(self) -> int:
        """Number of answers."""
        return int(self.metadata.num_rows)

    def groups_with(self, prefixes: npt.NDArray[np.uint64]) -> list[int]:
        """The row groups that may have keys of these prefixes (`sorted_prefixes`)."""
        found = []
        for group, (least, greatest) in enumerate(self._ranges()):
            first = np.searchsorted(prefixes, np.uint64(least))
            if first < len(prefixes) and prefixes[first] <= greatest:
                found.append(group)
        return found

    def groups_between(self, low: int, high: int) -> list[int]:
        """The row groups that may have keys of prefixes in [low, high)."""
        return [group for group, (least, greatest) in enumerate(self._ranges()) if least < high and low <= greatest]

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """The least and the greatest prefix of each row group."""
        column = self.metadata.schema.names.index(KEY)
        for group in range(self.metadata.num_row_groups):
            statistics = self.metadata.row_group(group).column(column).statistics
            yield int.from_bytes(statistics.min[:8], "big"), int.from_bytes(statistics.max[:8], "big")

    @contextmanager
    def opened(self) -> Iterator[pq.ParquetFile]:
        """The file, its pages checked as they are read."""
        with pq.ParquetFile(
            self.path, metadata=self.metadata, pre_buffer=False, page_checksum_verification=True
        ) as file:
            yield file


def read_group(file: pq.ParquetFile, group: int, columns: list[str] | None = None) -> pa.Table:
    """Some columns of a row group. Raises ArrowInvalid where it has lost rows."""
    table = file.read_row_group(group, columns=columns, use_threads=False)
    require_rows(table.num_rows, file.metadata.row_group(group).num_rows)
    return table


def open_segment(path: Path, question: str) -> Segment:
    """A segment of the answers to a question (its hash). Raises what reading a damaged file raises."""
    if path.stem.rpartition("-")[2] != _footer_hash(path):
        raise pa.ArrowInvalid("its footer is not the one that was written")
    with pq.ParquetFile(path, pre_buffer=False) as file:
        require_sound(file, ours=True)
        found: dict[bytes, bytes] = file.metadata.metadata or {}
        if found.get(_QUESTION) != question.encode():
            raise pa.ArrowInvalid("it holds the answers to another question")
        return Segment(path, file.metadata, float(found[_CREATED]), path.stat().st_size)


def write_segment(tables: Iterable[pa.Table], schema: pa.Schema, folder: Path, question: str, created: float) -> Path:
    """Write a segment of tables that follow each other in the order of their keys; whole or not at all.

    Its name ends with the hash of its footer. Pages have checksums, and a footer has none; but there it says which keys
    are where, and pyarrow kills the process where the least key of a row group has lost a byte.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(created))
    path = folder / f"{stamp}-{uuid.uuid4().hex[:12]}{_NEW}"
    about = {_QUESTION: question.encode(), _CREATED: repr(created).encode()}
    options: dict[str, Any] = {"write_statistics": [KEY], "use_dictionary": False}
    with writer(path, schema.with_metadata(about), **options) as file:
        for table in tables:
            file.write_table(table.replace_schema_metadata(about), row_group_size=GROUP_ROWS)
    return path.replace(path.with_name(f"{path.stem}-{_footer_hash(path)}{SUFFIX}"))


def _footer_hash(path: Path) -> str:
    """The hash of a Parquet file's footer, with its length and the mark at the end. Raises OSError for a short file."""
    with path.open("rb") as file:
        end = file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(end - length, 0))
        return blake2b(file.read(), digest_size=6).hexdigest()


def sorted_by_key(table: pa.Table) -> pa.Table:
    """The rows in the order of their keys, the first of each."""
    table = table.take(pc.sort_indices(table[KEY]))  # stable
    keys = table[KEY].combine_chunks()
    if len(keys) < 2:
        return table
    fresh = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1))
    return table.filter(pa.concat_arrays([pa.array([True]), fresh]))


def sorted_prefixes(keys: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of each key, as numbers in their order."""
    return np.sort(halves(keys)[0])
