"""Rows divided among parts come back in their order, whether they were on disk or not."""

import random
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lib.data.joining import shuffle as module
from lib.data.joining.shuffle import MOST_PARTS, Ordered, Shuffle, interleave

SCHEMA = pa.schema([("number", pa.int64()), ("texts", pa.list_(pa.string())), ("vector", pa.list_(pa.float32(), 2))])


def rows(numbers: list[int]) -> pa.Table:
    columns = [
        numbers,
        [None if number % 5 == 0 else [f"text {number}", None][: number % 3] for number in numbers],
        [None if number % 7 == 0 else [number, 0.5] for number in numbers],
    ]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


@pytest.fixture(params=[1, 2000, 1 << 20])
def buffer_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How much waits in memory: nothing, something, all."""
    monkeypatch.setattr(module, "_BUFFER_BYTES", request.param)
    return int(request.param)


@pytest.mark.parametrize("slice_rows", [1, 7, 4096])
def test_rows_come_back_in_order_spilled_or_not(
    buffer_bytes: int, slice_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SLICE_ROWS", slice_rows)
    numbers = random.Random(3).sample(range(1000), 300)
    shuffle = Shuffle(tmp_path / "scratch", SCHEMA)
    for start in range(0, 300, 17):
        some = numbers[start : start + 17]
        shuffle.add(rows(some), np.array(some) // 100)
    shuffle.add(rows([]), np.empty(0, np.int64))
    assert shuffle.rows == 300
    assert (tmp_path / "scratch").exists() is (buffer_bytes < 1 << 20)
    found = list(shuffle.ordered("number"))
    assert max(table.num_rows for table in found) <= slice_rows
    assert pa.concat_tables(found).equals(rows(sorted(numbers)))


@pytest.mark.parametrize("most", [0, 40, 10**6])
def test_groups_hold_whole_parts_in_their_order_and_rows_as_they_came(
    buffer_bytes: int, most: int, tmp_path: Path
) -> None:
    draw = random.Random(4)
    numbers, parts = draw.choices(range(50), k=200), draw.choices(range(0, MOST_PARTS, 30), k=200)
    shuffle = Shuffle(tmp_path, SCHEMA)
    for start in range(0, 200, 9):
        some = slice(start, start + 9)
        shuffle.add(rows(numbers[some]), np.array(parts[some]))
    found = [table["number"].to_pylist() for table in shuffle.groups(most)]
    if buffer_bytes == 1 << 20:
        assert found == [numbers]
        return
    by_part = [[n for n, own in zip(numbers, parts, strict=True) if own == part] for part in sorted(set(parts))]
    assert list(chain(*found)) == list(chain(*by_part))
    if most == 0:
        assert found == by_part
    for group in found:
        assert len(group) <= max(most, *map(len, by_part))


def test_a_shuffle_without_rows_has_none(tmp_path: Path) -> None:
    assert list(Shuffle(tmp_path, SCHEMA).groups(10)) == list(Shuffle(tmp_path, SCHEMA).ordered("number")) == []


def in_pieces(numbers: list[int], draw: random.Random) -> Iterator[pa.Table]:
    """Tables of these rows, of any size; some are empty."""
    while numbers:
        count = draw.choice([0, 1, 2, 5, 50])
        yield rows(numbers[:count])
        numbers = numbers[count:]
    yield rows([])


@pytest.mark.parametrize("case", range(30))
def test_rows_are_taken_once_up_to_any_bound_and_streams_interleave_as_a_sort(case: int) -> None:
    draw = random.Random(case)
    numbers = sorted(draw.sample(range(200), draw.randint(0, 100)))
    ordered, taken = Ordered(in_pieces(numbers, draw), SCHEMA, "number"), list[int]()
    for stop in sorted(draw.choices(range(220), k=6)):
        taken += ordered.until(stop)["number"].to_pylist()
        assert taken == [number for number in numbers if number < stop]
        bound = ordered.bound
        left = numbers[len(taken) :]
        assert (bound is None) is (not left)
        assert bound is None or bound - 1 in left

    shares = [draw.randrange(4) for _ in numbers]
    streams = [[n for n, own in zip(numbers, shares, strict=True) if own == share] for share in range(4)]
    found = interleave([Ordered(in_pieces(stream, draw), SCHEMA, "number") for stream in streams], "number")
    assert pa.concat_tables([SCHEMA.empty_table(), *found]).equals(rows(numbers))
