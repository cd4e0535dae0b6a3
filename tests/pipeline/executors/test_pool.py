"""Who gets which shards; tests/kills has the pool's deaths, with real actors."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from lib.data.manifest import Shard
from lib.pipeline.executors.pool import Pool, _Piece, _Slot


class Actor:
    """Takes calls as a Ray actor does; a call's reference is an object of its own."""

    def __init__(self) -> None:
        self.process = self.answer = self

    def remote(self, *_: Any) -> object:
        return object()


def piece(number: int, deaths: int = 0) -> _Piece:
    shard = Shard(number=number, input=0, start=10 * number, stop=10 * number + 10)
    return _Piece(shard, shard.start, shard.stop, deaths)


def pool_of(shards: int, *, workers: int, in_flight: int, suspects: int = 0) -> Any:
    """A pool without Ray, its workers loaded."""
    pool: Any = Pool.__new__(Pool)
    pool._in_flight = in_flight
    pool._fresh = deque(piece(number) for number in range(shards))
    pool._suspects = deque(piece(100 + number, deaths=1) for number in range(suspects))
    pool._slots = [_Slot(Actor(), None, None, 0.0) for _ in range(workers)]
    return pool


def running(pool: Any) -> Sequence[int]:
    return [len(slot.running) for slot in pool._slots]


def test_each_worker_has_as_many_as_the_engine_needs() -> None:
    pool = pool_of(100, workers=3, in_flight=8)
    pool._hand_out()
    assert running(pool) == [8, 8, 8]
    assert len(pool._fresh) == 76


def test_a_few_shards_are_shared_fairly_also_with_workers_that_still_load() -> None:
    pool = pool_of(9, workers=3, in_flight=32)
    pool._slots[2].loading = object()
    pool._hand_out()
    assert running(pool) == [3, 3, 0]
    pool._slots[2].loading = None
    pool._hand_out()
    assert running(pool) == [3, 3, 3]


def test_a_suspect_is_alone() -> None:
    pool = pool_of(9, workers=2, in_flight=4, suspects=1)
    pool._hand_out()
    first, second = ([p.deaths for p in slot.running.values()] for slot in pool._slots)
    assert first == [1]
    assert second == [0] * 4
