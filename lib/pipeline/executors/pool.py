"""A pool of Ray actors that pull shards, are replaced when they die, and lose nothing. It grows with the cluster.

It moves messages; what is worked on when, and what a death means, the ShardQueue decides.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from lib.data.manifest import Shard
from lib.data.shards import Footer, commit
from lib.errors import EngineError, OvernightError, RunFailed
from lib.log import log
from lib.pipeline.executors.base import shards_in_flight
from lib.pipeline.executors.shard_queue import Piece, ShardQueue
from lib.pipeline.run import Run
from lib.pipeline.stop import Stop
from lib.pipeline.worker import Worker, dead_row

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

KILLED = "killed the worker"
_LOOK_EVERY = 2.0  # seconds between looks for room for more workers
_REPORT_EVERY = 60.0


@dataclass
class _Slot:
    """An actor and what it is doing: waiting for a place on a node, loading its engine, then pieces.

    since: when it began to wait; node: the node's id, once it has a place.
    """

    actor: "ActorHandle"
    placing: "ObjectRef | None"
    loading: "ObjectRef | None"
    since: float
    node: str | None = None
    running: "dict[ObjectRef, Piece]" = field(default_factory=dict)

    @property
    def refs(self) -> "list[ObjectRef]":
        """The calls whose end is to be waited for."""
        return [ref for ref in (self.placing, self.loading) if ref is not None] or list(self.running)


class _LazyWorker:
    """A worker that loads its engine when told to: an error in there then reaches the driver as itself."""

    def node(self) -> str:
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def load(self, run: Run) -> str:
        os.chdir(run.root)
        self._worker = Worker(run)
        return self._worker.ready

    def process(self, shard: Shard) -> Footer:
        return self._worker.process(shard)

    def answer(self, shard: Shard, start: int, stop: int) -> pa.Table:
        return self._worker.answer(shard, start, stop)


class Pool:
    """The workers of a run. Made within an initialised Ray; `close` it.

    room: says how many workers there may be now, which changes where nodes come and go.
    """

    def __init__(
        self,
        run: Run,
        shards: Sequence[Shard],
        *,
        room: Callable[[], int],
        cpus_per_worker: float,
        max_restarts: int,
    ) -> None:
        import ray

        self._run, self._room = run, room
        in_flight = shards_in_flight(run.engine.most_at_once, run.manifest.shard_rows)
        self._queue = ShardQueue(shards, in_flight=in_flight, max_restarts=max_restarts)
        self._needs = f"{cpus_per_worker:g} CPUs and {run.engine.num_gpus:g} GPUs"
        self._actor_class = ray.remote(
            num_cpus=cpus_per_worker,
            num_gpus=run.engine.num_gpus,
            max_restarts=0,
            max_concurrency=in_flight,
            runtime_env={"env_vars": {"TQDM_DISABLE": "1"}},  # only the driver draws a bar
        )(_LazyWorker)
        self._run_ref = ray.put(run)
        self._slots: list[_Slot] = []
        self._next_look = self._next_report = 0.0

    def run(self, stop: Stop) -> Iterator[Footer]:
        """Work until every shard is done or `stop` says so; yield each one's footer as it is committed.

        Raises RunFailed where workers die too often, and what a worker raised where no row is to blame.
        """
        import ray

        while not stop.expired:
            if not stop.requested:
                self._recruit()
                self._hand_out()
            refs = [ref for slot in self._slots for ref in slot.refs]
            if not self._queue.in_hand and (stop.requested or not self._queue.waiting):
                return
            ready, _ = ray.wait(refs, num_returns=1, timeout=0.2)
            for ref in ready:
                yield from self._finish(ref)

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        import ray

        for slot in self._slots:
            ray.kill(slot.actor)

    def _recruit(self) -> None:
        """Start workers while there is room for more and work for them; say so where some find no place."""
        now = time.monotonic()
        if now < self._next_look and self._slots:
            return
        self._next_look = now + _LOOK_EVERY
        pieces = self._queue.waiting + self._queue.in_hand
        while len(self._slots) < min(max(self._room(), 1), pieces):
            actor = self._actor_class.remote()
            self._slots.append(_Slot(actor, actor.node.remote(), actor.load.remote(self._run_ref), now))
        waiting = sum(slot.placing is not None and now - slot.since > _REPORT_EVERY for slot in self._slots)
        if waiting and now >= self._next_report:
            self._next_report = now + _REPORT_EVERY
            log.warning(
                "%d workers wait for a node with %s free; `ray status` shows who has them", waiting, self._needs
            )

    def _hand_out(self) -> None:
        """Offer pieces to the workers that are ready, to whoever has fewest first, until nobody may take one."""
        ready = [slot for slot in self._slots if slot.loading is None]
        while ready:
            slot = min(ready, key=lambda slot: len(slot.running))
            piece = self._queue.next(slot.running.values(), len(self._slots))
            if piece is None:
                ready.remove(slot)
            elif piece.whole:
                slot.running[slot.actor.process.remote(piece.shard)] = piece
            else:
                slot.running[slot.actor.answer.remote(piece.shard, piece.start, piece.stop)] = piece

    def _finish(self, ref: "ObjectRef") -> Iterator[Footer]:
        """Take in what a finished call brought: a loaded engine, a footer, a piece's table, or a death."""
        import ray

        slot = next((s for s in self._slots if ref in s.running or ref in (s.placing, s.loading)), None)
        if slot is None:
            return  # of a worker that was buried meanwhile
        try:
            value = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, EngineError) and slot.loading is None:
                yield from self._bury(slot, str(cause), str(cause))
            elif isinstance(cause, OvernightError):
                raise cause from None
            else:
                raise RunFailed(f"a worker failed, and no row is to blame:\n{error}") from error
        except ray.exceptions.RayError as death:  # of the worker, of its node, or for want of memory
            yield from self._bury(slot, " ".join(str(death).split())[:300], KILLED)
        else:
            if ref == slot.placing:
                slot.placing, slot.node = None, value
            elif ref == slot.loading:
                log.info("a worker is ready: %s", value)
                slot.loading = None
                self._queue.loaded()
            else:
                piece = slot.running.pop(ref)
                if piece.whole:
                    self._queue.finished(piece)
                    yield value
                else:
                    yield from self._commit(piece.shard, self._queue.finished(piece, value))

    def _bury(self, slot: _Slot, why: str, reason: str) -> Iterator[Footer]:
        """Replace a dead worker; record the rows that turn out to be at fault.

        why: for the log; reason: for those rows.
        """
        import ray

        node_died = slot.node is not None and slot.node not in _living_nodes()
        held = list(slot.running.values())
        rows = self._queue.died(held, why, loading=slot.loading is not None, node_died=node_died)
        log.warning("a worker died (%s); %s", why, "its node died" if node_died else "starting another")
        ray.kill(slot.actor)
        self._slots.remove(slot)
        self._next_look = 0.0
        for row in rows:
            log.warning("row %d of shard %d kills its worker: recorded as failed", row.start, row.shard.number)
            table = dead_row(self._run, row.shard, row.start, reason)
            yield from self._commit(row.shard, self._queue.recorded(row, table))

    def _commit(self, shard: Shard, table: pa.Table | None) -> Iterator[Footer]:
        """Commit the table of a shard, if it is there."""
        if table is not None:
            yield commit(table, shard, self._run.manifest, self._run.folder, seconds=0.0)


def _living_nodes() -> set[str]:
    import ray

    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}
