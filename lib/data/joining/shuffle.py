"""Rows divided among parts on disk, and read back part by part: memory stays flat however many there are."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_BUFFER_BYTES = 8 << 20
_SLICE_ROWS = 4096
MOST_PARTS = 256
"""Parts of a shuffle, at most: each is an open file."""


class Shuffle:
    """Takes tables of one schema in any order. Few rows never reach the disk.

    folder: for its files, which is made when the first is written; whoever made the shuffle removes it.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = 0
        self._folder = folder
        self._waiting: list[tuple[pa.Table, npt.NDArray[np.int64]]] = []
        self._waiting_bytes = 0
        self._writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        self._counts: dict[int, int] = {}

    def add(self, table: pa.Table, parts: npt.NDArray[np.int64]) -> None:
        """Take in the rows of a table [n]. parts: [n], in [0, MOST_PARTS)."""
        if not table.num_rows:
            return
        self.rows += table.num_rows
        self._waiting.append((table.cast(self.schema), parts))
        self._waiting_bytes += table.nbytes
        if self._waiting_bytes >= _BUFFER_BYTES:
            self._write()

    def groups(self, rows: int) -> Iterator[pa.Table]:
        """All rows, the parts in their order: some parts together while they have at most so many rows."""
        if not self._writers:
            if self.rows:
                yield pa.concat_tables([table for table, _ in self._waiting])
            return
        self._close()
        group: list[int] = []
        for part in sorted(self._counts):
            if group and sum(self._counts[one] for one in [*group, part]) > rows:
                yield pa.concat_tables(map(self._read, group))
                group = []
            group.append(part)
        yield pa.concat_tables(map(self._read, group))

    def ordered(self, column: str) -> Iterator[pa.Table]:
        """All rows in the order of a column of integers, a few at a time; those of a part come before the next's."""
        for table in self.groups(0):
            order = np.argsort(table[column].to_numpy(), kind="stable")
            for start in range(0, len(order), _SLICE_ROWS):
                yield table.take(order[start : start + _SLICE_ROWS])

    def _write(self) -> None:
        tables, parts = zip(*self._waiting, strict=True)
        self._waiting, self._waiting_bytes = [], 0
        part = np.concatenate(parts)
        order = np.argsort(part, kind="stable")
        rows = pa.concat_tables(tables).take(order).combine_chunks()
        numbers, starts = np.unique(part[order], return_index=True)
        for number, start, stop in zip(numbers.tolist(), starts, [*starts[1:], len(order)], strict=True):
            self._writer(number).write_table(rows.slice(start, stop - start))
            self._counts[number] = self._counts.get(number, 0) + int(stop - start)

    def _writer(self, part: int) -> pa.ipc.RecordBatchStreamWriter:
        if part not in self._writers:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writers[part] = pa.ipc.new_stream(str(self._path(part)), self.schema)
        return self._writers[part]

    def _close(self) -> None:
        if self._waiting:
            self._write()
        for writer in self._writers.values():
            writer.close()

    def _read(self, part: int) -> pa.Table:
        with pa.memory_map(str(self._path(part))) as file, pa.ipc.open_stream(file) as stream:
            table = stream.read_all()
        assert table.num_rows == self._counts[part]
        return table

    def _path(self, part: int) -> Path:
        return self._folder / f"{part:03d}.arrow"


class Ordered:
    """Tables in the order of a column of integers, from which rows are taken up to a bound, once each."""

    def __init__(self, tables: Iterator[pa.Table], schema: pa.Schema, column: str) -> None:
        self._tables = tables
        self._column = column
        self._rest = schema.empty_table()
        self._ended = False

    def until(self, stop: int) -> pa.Table:
        """The rows, not yet taken, of which the column is below `stop`."""
        taken: list[pa.Table] = []
        while True:
            count = int(np.searchsorted(self._rest[self._column].to_numpy(), stop))
            taken.append(self._rest.slice(0, count))
            self._rest = self._rest.slice(count)
            if self._rest.num_rows or not self._more():
                return pa.concat_tables(taken)

    @property
    def bound(self) -> int | None:
        """A number up to which all rows are known without looking further; None at the end."""
        while not self._rest.num_rows and self._more():
            pass
        return int(self._rest[self._column][-1].as_py()) + 1 if self._rest.num_rows else None

    def _more(self) -> bool:
        table = None if self._ended else next(self._tables, None)
        self._ended = table is None
        if table is not None:
            self._rest = table
        return table is not None


def interleave(streams: Sequence[Ordered], column: str) -> Iterator[pa.Table]:
    """The rows of several streams in the order of a column, each once."""
    while bounds := [bound for stream in streams if (bound := stream.bound) is not None]:
        parts = [part for stream in streams if (part := stream.until(min(bounds))).num_rows]
        yield parts[0] if len(parts) == 1 else pa.concat_tables(parts).sort_by(column)
