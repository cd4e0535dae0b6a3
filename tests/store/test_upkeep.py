"""Looking after a store loses no answer but those that are to go."""

import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lib.data.joining.key_group import KeyGroup
from lib.errors import StoreError
from lib.store import segment, upkeep
from lib.store.answer_table import QUESTION, AnswerTable
from lib.store.upkeep import compact, holding, prune
from tests.store.conftest import SCHEMA, answers_to, found_in, keys_of

DAY = 86_400


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> object:
    """Set the clock to a number of days after now."""
    now = time.time()
    return lambda days: monkeypatch.setattr(time, "time", lambda: now + days * DAY)


def test_what_a_table_holds(table: AnswerTable, at: object) -> None:
    empty = holding(table)
    assert (empty.segments, empty.answers, empty.oldest, empty.newest, empty.hits, empty.runs) == (
        0,
        0,
        None,
        None,
        0,
        0,
    )
    for days in (-3, -1):
        at(days)  # type: ignore[operator]
        table.append(answers_to(range(5)))
        table.note_use("run", 4, "x.csv", 5)
    found = holding(table)
    assert (found.segments, found.answers, found.hits, found.runs, found.engine) == (2, 10, 8, 2, "dummy")
    assert found.bytes == sum(path.stat().st_size for path in table.folder.glob("*.parquet"))
    assert found.newest is not None
    assert found.oldest is not None
    assert found.newest - found.oldest == pytest.approx(2 * DAY)


@pytest.mark.parametrize(
    ("days", "left"), [(None, []), (0.5, [2]), (2.0, [1, 2]), (5.0, [0, 1, 2]), (0.0, [2])], ids=str
)
def test_pruning_by_age_whatever_the_clock_was(
    table: AnswerTable, at: object, days: float | None, left: list[int]
) -> None:
    for number, when in enumerate((-3, -1, 400)):  # the last by a clock in the future
        at(when)  # type: ignore[operator]
        table.append(answers_to([number]))
    at(0)  # type: ignore[operator]
    answers, size = prune(table, days)
    assert answers == 3 - len(left)
    assert (size > 0) is (answers > 0)
    assert found_in(table, range(3)) == left


@pytest.mark.parametrize("many", [False, True])
def test_compaction_keeps_the_oldest_answer_to_each_question(
    table: AnswerTable, at: object, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many:  # ranges, segments and row groups
        monkeypatch.setattr(upkeep, "_RANGE_BYTES", 2000)
        monkeypatch.setattr(upkeep, "_SEGMENT_ROWS", 20)
        monkeypatch.setattr(segment, "GROUP_ROWS", 7)
    for night in range(4):
        at(night - 10)  # type: ignore[operator]
        table.append(answers_to(range(night * 10, night * 10 + 30)))
    at(-20)  # type: ignore[operator]
    table.append(answers_to([3]).set_column(1, "score", pa.array([0.25])))
    before, after = compact(table)
    assert before == 5
    assert (after > 1) is many
    found = holding(table)
    assert (found.segments, found.answers) == (after, 60)
    assert found_in(table, range(4, 70)) == list(range(4, 60))
    group = KeyGroup(keys_of([3]), np.arange(1))
    ((answers, _),) = table.find(group, SCHEMA)
    assert answers["score"].to_pylist() == [0.25]
    assert compact(table)[1] <= after
    assert found_in(table, range(4, 70)) == list(range(4, 60))


def test_nothing_and_a_single_segment_are_left_alone(table: AnswerTable) -> None:
    assert compact(table) == (0, 0)
    table.append(answers_to([1]))
    paths = list(table.folder.iterdir())
    assert compact(table) == (1, 1)
    assert list(table.folder.iterdir()) == paths


def test_a_segment_that_cannot_be_read_whole_stops_compaction_and_nothing_is_changed(table: AnswerTable) -> None:
    for start in (0, 50):
        table.append(answers_to(range(start, start + 50)))
    path = sorted(table.folder.glob("*.parquet"))[1]
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    before = contents(table.folder)
    with pytest.raises(StoreError, match=r"cannot be compacted .*nothing was changed"):
        compact(table)
    assert contents(table.folder) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_killed_writers_left_goes_when_a_table_is_begun_or_compacted(table: AnswerTable) -> None:
    left = ["20260101T000000-{}.new", "used-{0}.json.{0}01234567890123456789.tmp", ".writable-{}01234567890123456789"]
    old, new = ([table.folder / name.format(digit * 12) for name in left] for digit in "ab")
    (table.folder / "mine.new").write_text("")
    os.utime(table.folder / "mine.new", (1e9, 1e9))
    for act in (table.begin, lambda: compact(table)):
        for path in (*old, *new):
            path.write_text("")
        for path in old:
            os.utime(path, (1e9, 1e9))
        act()
        assert {path.name for path in table.folder.iterdir()} == {path.name for path in new} | {"mine.new", QUESTION}
