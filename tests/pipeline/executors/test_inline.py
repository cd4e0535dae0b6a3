import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.manifest import Shard
from lib.data.merging import merge_shards
from lib.data.shards import Footer, unfinished
from lib.engines.dummy import DummyConfig
from lib.engines.vllm.vllm_config import VllmConfig
from lib.pipeline.executors.base import shards_in_flight
from lib.pipeline.executors.inline import InlineConfig, work
from lib.pipeline.stop import Stop
from lib.pipeline.worker import Worker
from lib.tasks.base import Prepared
from lib.tasks.pairwise import Pairwise
from lib.types import Tokenizer
from tests.pipeline.conftest import CONFIG, PROMPT, Plan, stops

Battles = Callable[..., Path]
INLINE = InlineConfig()
IN_FLIGHT = 2


@dataclass(frozen=True)
class Waiting(Pairwise):
    """Judges; the shard that holds the prompt WAIT is not answered before `go`."""

    go: threading.Event

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared:
        if ["WAIT"] in rows["prompt"].to_pylist() and not self.go.wait(20):
            raise OSError("nobody said go")
        return super().prepare(rows, tokenizer, max_tokens)


@dataclass(frozen=True)
class Broken(Pairwise):
    """Finds the disk full at the prompt BOOM."""

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared:
        if ["BOOM"] in rows["prompt"].to_pylist():
            raise OSError("disk full")
        return super().prepare(rows, tokenizer, max_tokens)


def join_shard_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("shard"):
            thread.join(60)


def test_every_shard_is_done_once(battles: Battles, plan: Plan) -> None:
    run = plan(battles(95))
    with Stop(30) as stop:
        footers = list(INLINE.run(run, run.manifest.shards(), stop))
    assert sorted(footer.shard for footer in footers) == list(range(10))
    assert sum(footer.rows for footer in footers) == 95
    assert unfinished(run.manifest, run.folder, retry_failed=False)[0] == []


def test_only_the_shards_that_are_asked_for(battles: Battles, plan: Plan) -> None:
    run = plan(battles(50))
    with Stop(30) as stop:
        assert list(INLINE.run(run, [], stop)) == []
        (footer,) = INLINE.run(run, run.manifest.shards()[3:4], stop)
    assert footer.shard == 3
    assert len(list((run.folder / "shards").rglob("*.parquet"))) == 1


def test_a_signal_lets_shards_in_flight_finish_and_the_rest_is_resumed(battles: Battles, plan: Plan) -> None:
    path = battles(100)
    run, whole = plan(path), plan(path, name="whole")
    done = 0
    with stops(signal.SIGUSR1), Stop(3600) as stop:
        for _ in INLINE.run(run, run.manifest.shards(), stop):
            if done == 0:
                os.kill(os.getpid(), signal.SIGUSR1)
            done += 1
    assert done == IN_FLIGHT
    todo, finished = unfinished(run.manifest, run.folder, retry_failed=False)
    assert (len(todo), len(finished)) == (10 - IN_FLIGHT, IN_FLIGHT)

    with Stop(30) as stop:
        list(INLINE.run(run, todo, stop))
        list(INLINE.run(whole, whole.manifest.shards(), stop))
    for each in (run, whole):
        merge_shards(each.manifest, each.folder)
    assert pq.read_table(run.folder / "result.parquet").equals(pq.read_table(whole.folder / "result.parquet"))


@pytest.mark.parametrize(
    ("most_at_once", "shard_rows", "shards"),
    [(None, 8, 2), (256, 128, 4), (256, 8, 32), (256, 100, 6), (256, 4096, 2), (1, 1, 2), (16, 1, 32), (7, 5, 3)],
)
def test_shards_in_flight_hold_twice_what_the_engine_runs(most_at_once: int, shard_rows: int, shards: int) -> None:
    assert shards_in_flight(most_at_once, shard_rows) == shards


def test_engines_say_how_much_they_run_at_once() -> None:
    assert DummyConfig().most_at_once is None
    assert VllmConfig(model="x").most_at_once == 256
    assert VllmConfig(model="x", max_num_seqs=16).most_at_once == 16


def test_so_many_shards_are_in_flight(battles: Battles, plan: Plan) -> None:
    run = plan(battles(95))
    inside, most, turn = 0, 0, threading.Condition()

    class Counting(Worker):
        def process(self, shard: Shard) -> Footer:
            nonlocal inside, most
            with turn:
                inside += 1
                most = max(most, inside)
                turn.notify_all()
                assert turn.wait_for(lambda: most == 5, timeout=20)  # the five are there at the same time
            footer = super().process(shard)
            with turn:
                inside -= 1
            return footer

    with Stop(30) as stop:
        assert len(list(work(Counting(run), run.manifest.shards(), stop, 5))) == 10
    assert most == 5


def test_shards_in_flight_are_abandoned_when_the_grace_is_over(battles: Battles, plan: Plan) -> None:
    go = threading.Event()
    run = plan(battles(30, {15: "WAIT"}), Waiting(CONFIG, PROMPT, go))
    try:
        with stops(signal.SIGTERM), Stop(0) as stop:
            footers = INLINE.run(run, run.manifest.shards()[:2], stop)
            assert next(footers).shard == 0
            os.kill(os.getpid(), signal.SIGTERM)
            assert list(footers) == []  # though shard 1 is still being worked on
        assert [footer.shard for footer in unfinished(run.manifest, run.folder, retry_failed=False)[1]] == [0]
    finally:
        go.set()
        join_shard_threads()


def test_an_error_that_is_no_rows_fault_ends_the_run(battles: Battles, plan: Plan) -> None:
    run = plan(battles(50, {25: "BOOM"}), Broken(CONFIG, PROMPT))
    with pytest.raises(OSError, match="disk full"), Stop(30) as stop:
        list(INLINE.run(run, run.manifest.shards(), stop))
    join_shard_threads()
    done = {footer.shard for footer in unfinished(run.manifest, run.folder, retry_failed=False)[1]}
    assert {0, 1} <= done <= {0, 1, 3}
