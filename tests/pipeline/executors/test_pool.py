"""The driver's loop with simulated workers on a fake clock: times are simulated ones. tests/ray has real actors."""

from collections.abc import Collection

import pytest

from lib.pipeline.executors.shard_queue import Piece, ShardQueue
from tests.pipeline.executors.simulated import Node, SimulatedCrew, shards_of, simulate

ROWS = 16  # of a shard


def nodes(count: int, places: int = 8) -> list[Node]:
    return [Node(places=places) for _ in range(count)]


def test_a_thousand_workers_hardly_wait_though_some_die_and_some_come_late() -> None:
    there = [Node(places=8) for _ in range(100)]
    late = [Node(places=8, joins=120.0 + 5 * number) for number in range(20)]
    lost = [Node(places=8, leaves=200.0 + 40 * number) for number in range(5)]
    crew = SimulatedCrew(nodes=[*there, *late, *lost], lifetime=6 * 3600, driver=lambda: 0.001)
    done, failed = simulate(shards_of(16_000, ROWS), crew)
    assert sorted(footer.shard for footer in done) == list(range(16_000))
    assert failed == []
    assert crew.deaths >= 40 + 10  # of the nodes, and by themselves
    assert crew.waited < 0.01


def test_what_is_decided_for_a_shard_does_not_grow_with_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, ask = 0, ShardQueue.next

    def counted(queue: ShardQueue, held: Collection[Piece], workers: int) -> Piece | None:
        nonlocal asked
        asked += 1
        return ask(queue, held, workers)

    monkeypatch.setattr(ShardQueue, "next", counted)
    simulate(shards_of(8_000, ROWS), SimulatedCrew(nodes=nodes(125)))
    assert 8_000 <= asked <= 3 * 8_000


def test_a_row_that_kills_is_recorded_and_the_others_hardly_notice() -> None:
    crew = SimulatedCrew(nodes=nodes(8), killers={1000})
    done, failed = simulate(shards_of(2_000, ROWS), crew)
    assert sorted(footer.shard for footer in done) == list(range(2_000))
    assert failed == [1000]
    assert crew.waited < 0.02


def test_all_that_fit_begin_within_a_minute_but_not_at_one_moment() -> None:
    crew = SimulatedCrew(nodes=nodes(125), load=10.0, spread=0.0)
    simulate(shards_of(4_000, ROWS), crew)
    ready = sorted(worker.ready for worker in crew._buried)
    assert len(ready) == 1_000
    assert 30 < ready[-1] - ready[0] < 70
    assert max(ready.count(moment) for moment in set(ready)) <= 32


def test_workers_that_load_for_an_hour_hold_nobody_up() -> None:
    crew = SimulatedCrew(nodes=nodes(2), load=1800.0, spread=0.99)
    done, _ = simulate(shards_of(500, ROWS), crew)
    assert len(done) == 500
    first, *_, last = sorted(worker.ready for worker in crew._buried)
    assert last - first > 1800
    assert crew.waited < 0.01


@pytest.mark.parametrize("in_flight", [2, 8])
def test_few_shards_are_shared_so_that_none_waits_for_another(in_flight: int) -> None:
    crew = SimulatedCrew(nodes=nodes(2), spread=0.0)
    done, _ = simulate(shards_of(5, ROWS), crew, in_flight=in_flight)
    assert len(done) == len(crew._buried) == 5
    assert crew.now() == pytest.approx(crew.load + crew.shard)
