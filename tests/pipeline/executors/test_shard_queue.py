"""Who gets which pieces, and what deaths mean; tests/ray and tests/kills have the same with real actors."""

import random
from collections.abc import Collection
from itertools import permutations

import pyarrow as pa
import pytest

from lib.data.manifest import Shard
from lib.errors import RunFailed
from lib.pipeline.executors.shard_queue import Piece, ShardQueue

ROWS = 8  # of a shard


def queue_of(shards: int, *, rows: int = ROWS, in_flight: int = 2, max_restarts: int = 50) -> ShardQueue:
    made = [Shard(number=number, input=0, start=rows * number, stop=rows * (number + 1)) for number in range(shards)]
    return ShardQueue(made, in_flight=in_flight, max_restarts=max_restarts)


def table_of(piece: Piece) -> pa.Table:
    return pa.table({"row": range(piece.start, piece.stop)})


def take(queue: ShardQueue, held: Collection[Piece] = (), workers: int = 1) -> Piece:
    piece = queue.next(held, workers)
    assert piece is not None
    return piece


def take_all(queue: ShardQueue, held: Collection[Piece] = (), workers: int = 1) -> list[Piece]:
    """What a worker with `held` in hand can get, and that."""
    pieces = list(held)
    while piece := queue.next(pieces, workers):
        pieces.append(piece)
    return pieces


def kill(queue: ShardQueue, *held: Piece) -> list[Piece]:
    return queue.died(held, "it died", loading=False, node_died=False)


def lose_node(queue: ShardQueue, *held: Piece) -> list[Piece]:
    return queue.died(held, "it died", loading=False, node_died=True)


def ranges(pieces: Collection[Piece]) -> list[tuple[int, int]]:
    return [(piece.start, piece.stop) for piece in pieces]


def work_off(queue: ShardQueue, killers: Collection[int]) -> tuple[list[int], list[int]]:
    """One worker after another takes what it gets and dies of a killer in it; the rows answered, and those recorded."""
    done: list[int] = []
    recorded: list[int] = []
    while queue.waiting:
        held = take_all(queue)
        if any(row in range(piece.start, piece.stop) for piece in held for row in killers):
            for row in kill(queue, *held):
                recorded.append(row.start)
                queue.recorded(row, table_of(row))
        else:
            for piece in held:
                done += range(piece.start, piece.stop)
                queue.finished(piece, table_of(piece))
    assert queue.in_hand == 0
    return sorted(done), recorded


# Who gets what


def test_each_worker_has_as_many_as_the_engine_needs() -> None:
    queue = queue_of(100, in_flight=8)
    assert [len(take_all(queue, workers=3)) for _ in range(3)] == [8, 8, 8]
    assert (queue.waiting, queue.in_hand) == (76, 24)


def test_a_few_shards_are_shared_fairly_also_with_workers_that_come_later() -> None:
    queue = queue_of(9, in_flight=32)
    assert [len(take_all(queue, workers=3)) for _ in range(3)] == [3, 3, 3]
    assert queue.waiting == 0


def test_a_fair_share_is_two_at_least_lest_an_engine_wait_for_a_shard_to_be_read() -> None:
    queue = queue_of(4, in_flight=32)
    assert [len(take_all(queue, workers=4)) for _ in range(2)] == [2, 2]


def test_shards_come_in_their_order_and_all_are_there() -> None:
    queue = queue_of(3)
    for number in range(3):
        piece = take(queue)
        assert (piece.shard.number, piece.whole, piece.deaths) == (number, True, 0)
        assert queue.finished(piece) is None  # its worker has committed it
    assert queue.next((), 1) is None
    assert (queue.waiting, queue.in_hand) == (0, 0)


def test_a_suspect_is_alone_and_goes_first() -> None:
    queue = queue_of(9, in_flight=4)
    busy, dying = take_all(queue, workers=2), take(queue, workers=2)
    kill(queue, dying)
    assert queue.next(busy[:1], 2) is None  # it is to become free for the suspect
    suspect = take(queue, workers=2)
    assert (suspect.shard, suspect.deaths) == (dying.shard, 1)
    assert queue.next([suspect], 2) is None
    assert queue.next(busy[:1], 2) is not None


def test_only_as_many_workers_become_free_as_suspects_wait() -> None:
    queue = queue_of(60, in_flight=2)
    hands = [take_all(queue, workers=6) for _ in range(6)]
    kill(queue, *hands.pop())  # two suspects
    refused = set()
    for _ in range(3):
        for number, held in enumerate(hands):
            queue.finished(held.pop(0))
            piece = queue.next(held, 6)
            refused |= {number} if piece is None else set()
            held += [] if piece is None else [piece]
            if piece is not None and piece.deaths:
                assert held == [piece]
        if not all(hands):
            break
    assert refused == {0, 1}


# Deaths


def test_what_died_once_is_tried_again_whole_and_alone() -> None:
    queue = queue_of(2)
    assert kill(queue, *take_all(queue)) == []
    for number in range(2):
        suspects = take_all(queue)
        assert [(piece.shard.number, piece.whole) for piece in suspects] == [(number, True)]
        assert queue.finished(suspects[0]) is None
    assert queue.waiting == 0


def test_a_suspect_that_kills_is_halved_down_to_a_row() -> None:
    queue = queue_of(1)
    tried = []
    while queue.waiting:
        piece = take(queue)
        tried.append((piece.start, piece.stop))
        if piece.start <= 5 < piece.stop:
            kill(queue, piece)
        else:
            queue.finished(piece, table_of(piece))
    assert tried == [(0, 8), (0, 8), (0, 4), (4, 8), (4, 6), (6, 8), (4, 5), (5, 6), (5, 6), (5, 6)]


@pytest.mark.parametrize("killer", range(ROWS))
def test_a_row_of_a_shard_is_recorded_after_three_deaths_alone_in_whichever_half_it_was(killer: int) -> None:
    queue = queue_of(1)
    alone = 0
    while queue.waiting:
        piece = take(queue)
        if killer not in range(piece.start, piece.stop):
            queue.finished(piece, table_of(piece))
            continue
        alone += piece.rows == 1
        recorded = kill(queue, piece)
    assert alone == 3
    assert ranges(recorded) == [(killer, killer + 1)]


@pytest.mark.parametrize("killer", range(ROWS))
def test_a_row_that_kills_is_the_only_one_recorded(killer: int) -> None:
    done, recorded = work_off(queue_of(3), {killer + ROWS})
    assert recorded == [killer + ROWS]
    assert done == [row for row in range(3 * ROWS) if row != killer + ROWS]


@pytest.mark.parametrize("killers", [{0, 1}, {3, 4}, {0, 7}, {2, 6}, {1, 9}, set(range(ROWS))])
def test_several_rows_that_kill_are_all_recorded(killers: set[int]) -> None:
    done, recorded = work_off(queue_of(2), killers)
    assert set(recorded) == killers
    assert len(recorded) == len(killers)
    assert done == [row for row in range(2 * ROWS) if row not in killers]


@pytest.mark.parametrize(("rows", "killer"), [(1, 0), (5, 4), (7, 3)])
def test_shards_of_other_lengths_are_halved_too(rows: int, killer: int) -> None:
    done, recorded = work_off(queue_of(1, rows=rows), {killer})
    assert (done, recorded) == ([row for row in range(rows) if row != killer], [killer])


def test_a_row_is_recorded_at_its_fourth_death_one_in_company_and_three_alone() -> None:
    queue = queue_of(2, rows=1)
    innocent, killer = take_all(queue)
    assert kill(queue, innocent, killer) == []
    innocent = take(queue)
    queue.finished(innocent)
    for _ in range(2):
        assert kill(queue, take(queue)) == []
    (row,) = kill(queue, take(queue))
    assert (row.shard.number, row.start, row.stop) == (1, 1, 2)
    assert (queue.waiting, queue.in_hand) == (0, 0)


def test_a_row_may_be_killed_from_outside_three_times() -> None:
    queue = queue_of(1, rows=1)
    for _ in range(3):
        assert kill(queue, take(queue)) == []
    piece = take(queue)
    queue.finished(piece)
    assert (queue.waiting, queue.in_hand) == (0, 0)


def test_a_shard_that_was_killed_from_outside_twice_comes_together_again() -> None:
    queue = queue_of(1)
    for _ in range(2):
        kill(queue, take(queue))
    left, right = take(queue), take(queue)
    assert ranges([left, right]) == [(0, 4), (4, 8)]
    assert queue.finished(right, table_of(right)) is None
    whole = queue.finished(left, table_of(left))
    assert whole is not None
    assert whole["row"].to_pylist() == list(range(ROWS))


def test_the_death_of_a_node_is_held_against_no_piece() -> None:
    queue = queue_of(3)
    for _ in range(20):
        held = take_all(queue)
        assert len(held) == 2  # in company again, so no suspects
        assert lose_node(queue, *held) == []
    assert sorted(piece.shard.number for piece in take_all(queue)) == [0, 1]


def test_the_death_of_a_node_leaves_a_suspect_what_it_was() -> None:
    queue = queue_of(2, rows=1)
    for deaths in range(1, 4):
        kill(queue, take(queue))
        for _ in range(3):
            suspect = take(queue)
            assert suspect.deaths == deaths
            assert lose_node(queue, suspect) == []
    assert len(kill(queue, take(queue))) == 1


# Giving up


def test_too_many_deaths_with_nothing_finished_in_between() -> None:
    queue = queue_of(9, max_restarts=3)
    for _ in range(3):
        kill(queue, take(queue))
    with pytest.raises(RunFailed, match=r"died 4 times with .* the last death: it died\..*executor\.max_restarts=3"):
        kill(queue, take(queue))


def test_what_is_finished_resets_the_count_and_what_is_recorded_does_not() -> None:
    queue = queue_of(9, rows=1, max_restarts=4)
    for _ in range(3):
        kill(queue, take(queue))
        queue.finished(take(queue))
    for _ in range(3):
        assert kill(queue, take(queue)) == []
    (row,) = kill(queue, take(queue))
    assert queue.recorded(row, table_of(row)) is not None
    with pytest.raises(RunFailed, match="died 5 times"):
        kill(queue, take(queue))


def test_three_deaths_while_loading_are_too_many() -> None:
    queue = queue_of(1)
    for _ in range(2):
        assert queue.died([], "no memory", loading=True, node_died=False) == []
    with pytest.raises(RunFailed, match=r"died 3 times while loading the engine, .*; the last death: no memory"):
        queue.died([], "no memory", loading=True, node_died=False)


def test_what_others_finish_does_not_hide_that_none_loads_and_the_message_counts_those_deaths_alone() -> None:
    queue = queue_of(9)
    for _ in range(2):
        queue.died([], "no memory", loading=True, node_died=False)
        queue.finished(take(queue))
    with pytest.raises(RunFailed, match=r"died 3 times while loading") as failure:
        queue.died([], "no memory", loading=True, node_died=False)
    assert "max_restarts" not in str(failure.value)  # more of the same would end the same way


def test_deaths_while_loading_are_forgotten_once_one_has_loaded_and_those_of_nodes_do_not_count() -> None:
    queue = queue_of(1)
    for _ in range(5):
        queue.died([], "no memory", loading=True, node_died=False)
        queue.died([], "no memory", loading=True, node_died=False)
        queue.died([], "the node went away", loading=True, node_died=True)
        queue.loaded()


# Whatever happens, in whatever order


def test_pieces_may_come_in_any_order() -> None:
    for order in permutations(range(4)):
        queue = queue_of(1)
        for _ in range(2):
            kill(queue, take(queue))
        kill(queue, take(queue))
        kill(queue, take(queue))
        pieces = [take(queue) for _ in range(4)]
        *early, last = (queue.finished(pieces[index], table_of(pieces[index])) for index in order)
        assert early == [None] * 3
        assert last is not None
        assert last["row"].to_pylist() == list(range(ROWS))


@pytest.mark.parametrize("seed", range(40))
def test_every_row_is_there_once_under_random_deaths(seed: int) -> None:
    """Workers take, finish and die at random; of the rows that kill each is recorded, whatever else is."""
    chance = random.Random(seed)
    shards, workers = chance.randint(1, 8), chance.randint(1, 4)
    outside = chance.choice([0.0, 0.1])  # the share of deaths that nobody's row is to blame for
    rows = range(shards * ROWS)
    killers = set(chance.sample(rows, chance.randint(0, min(5, len(rows)))))
    queue = queue_of(shards, in_flight=chance.randint(1, 5), max_restarts=10_000)
    held: list[list[Piece]] = [[] for _ in range(workers)]
    answered: list[int] = []
    recorded: list[int] = []

    def bury(number: int, node_died: bool) -> None:
        for row in queue.died(held[number], "it died", loading=False, node_died=node_died):
            recorded.append(row.start)
            note(queue.recorded(row, table_of(row)))
        held[number] = []

    def note(whole: pa.Table | None) -> None:
        answered.extend([] if whole is None else whole["row"].to_pylist())

    while queue.waiting or queue.in_hand:
        number = chance.randrange(workers)
        if piece := queue.next(held[number], workers):
            held[number].append(piece)
        elif held[number]:
            piece = chance.choice(held[number])
            if chance.random() < outside:
                bury(number, node_died=chance.random() < 0.5)
            elif killers.intersection(range(piece.start, piece.stop)):
                bury(number, node_died=False)
            else:
                held[number].remove(piece)
                note(queue.finished(piece, table_of(piece)))
    assert sorted(answered) == list(rows)
    assert killers <= set(recorded)
    assert len(recorded) == len(set(recorded))
    if not outside:
        assert set(recorded) == killers
