"""Looking after a store: what is in it, what of it is old, and many small segments made into few."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from lib.data.joining.key_group import halves
from lib.data.joining.keys import KEY
from lib.data.parquet import UNREADABLE
from lib.errors import StoreError
from lib.store.answer_table import AnswerTable
from lib.store.segment import Segment, read_group, sorted_by_key, write_segment

_DAY = 86_400.0
_SEGMENT_ROWS, _SEGMENT_BYTES = 1 << 20, 256 << 20  # of a segment, at least
_RANGE_BYTES = 64 << 20  # of answers that are sorted at once


@dataclass(frozen=True)
class Holding:
    """What is known of a table. oldest, newest: when its segments were made, seconds since 1970; None without any."""

    table: AnswerTable
    segments: int
    answers: int
    bytes: int
    oldest: float | None
    newest: float | None
    hits: int
    runs: int

    @property
    def engine(self) -> str:
        """What answers: the model, or what kind of engine it is."""
        question = self.table.question
        return str(question.get("engine.model") or question["engine.type"].removesuffix("Config").lower())


def holding(table: AnswerTable) -> Holding:
    """What a table holds. An answer that two runs computed at once counts twice, until they are compacted."""
    segments = list(table.segments())
    uses = table.uses()
    times = [segment.created for segment in segments]
    return Holding(
        table=table,
        segments=len(segments),
        answers=sum(segment.rows for segment in segments),
        bytes=sum(segment.bytes for segment in segments),
        oldest=min(times, default=None),
        newest=max(times, default=None),
        hits=sum(int(use["remembered"]) for use in uses),
        runs=len(uses),
    )


def prune(table: AnswerTable, days: float | None) -> tuple[int, int]:
    """Remove the answers that were computed more than so many days ago; None: all. Returns their number and bytes.

    A segment made of others by compaction is as old as the newest of them.
    """
    before = None if days is None else time.time() - days * _DAY
    old = [segment for segment in table.segments() if before is None or segment.created < before]
    table.remove(old)
    return sum(segment.rows for segment in old), sum(segment.bytes for segment in old)


def compact(table: AnswerTable) -> tuple[int, int]:
    """Make few segments of many, with one answer for each key. Returns the numbers of segments before and after.

    Runs may read and write meanwhile: the new ones are there before the old ones go. What killed processes left goes,
    too. Raises StoreError where one can't be read: which answers it has lost, nobody would know later.
    """
    table.remove_leftovers()
    old = list(table.segments())
    if len(old) < 2:
        return len(old), len(old)
    schema = old[0].metadata.schema.to_arrow_schema().remove_metadata()
    new: list[Path] = []
    try:
        with table.adding(instead_of=old) as place:
            for tables in _batches(_sorted(old)):
                new.append(write_segment(tables, schema, place, table.hash, max(segment.created for segment in old)))
    except UNREADABLE as error:
        for path in new:
            path.unlink(missing_ok=True)
        hint = "" if table.mirror is None else f"; {table.folder} is a copy of it: delete that, and do it again"
        raise StoreError(f"{table.name}: cannot be compacted ({error}); nothing was changed{hint}") from error
    table.remove(old)
    return len(old), len(new)


def _sorted(segments: list[Segment]) -> Iterator[pa.Table]:
    """The answers of some segments in the order of their keys, one of each."""
    size = sum(segment.bytes for segment in segments)
    ranges = max(1, min(65_536, -(-3 * size // _RANGE_BYTES)))  # three times as large in memory, about
    for low, high in pairwise((1 << 64) * number // ranges for number in range(ranges + 1)):
        parts = [part for segment in segments for part in _between(segment, low, high) if part.num_rows]
        if parts:  # a row group without rows would not say which keys it has
            yield sorted_by_key(pa.concat_tables(parts))


def _between(segment: Segment, low: int, high: int) -> Iterator[pa.Table]:
    """The answers of a segment whose keys' first 8 bytes are in [low, high)."""
    groups = segment.groups_between(low, high)
    if not groups:
        return
    with segment.opened() as file:
        for group in groups:
            rows = read_group(file, group).replace_schema_metadata(None)
            heads, _ = halves(rows[KEY])
            yield rows.filter(pa.array((heads >= low) & (heads <= high - 1)))  # high may be 2**64


def _batches(tables: Iterator[pa.Table]) -> Iterator[list[pa.Table]]:
    """Tables, as many together as make a segment."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        waiting.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
        if rows >= _SEGMENT_ROWS or size >= _SEGMENT_BYTES:
            yield waiting
            waiting, rows, size = [], 0, 0
    if waiting:
        yield waiting
