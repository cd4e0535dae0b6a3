"""A pool of Ray actors that pull shards, are replaced when they die, and lose nothing. It grows with the cluster.

A shard that was in flight at a worker's death is tried again alone on a fresh worker; when that one dies too, the
shard is halved, and so on until a row is alone. One that then kills three more workers is recorded as failed; fewer
may have been killed from outside. The death of a whole node is held against no shard.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from lib.data.manifest import Shard
from lib.data.shards import Footer, commit
from lib.errors import EngineError, OvernightError, RunFailed
from lib.log import log
from lib.pipeline.executors.base import shards_in_flight
from lib.pipeline.run import Run
from lib.pipeline.stop import Stop
from lib.pipeline.worker import Worker, dead_row

KILLED = "killed the worker"
_DEATHS_WHILE_LOADING = 3
_DEATHS_OF_A_ROW = 4  # one in company, three alone
_LOOK_EVERY = 2.0  # seconds between looks for room for more workers
_REPORT_EVERY = 60.0


@dataclass
class _Piece:
    """Rows [start, stop) of a shard, and how many workers died while it was in flight."""

    shard: Shard
    start: int
    stop: int
    deaths: int = 0

    @property
    def whole(self) -> bool:
        return (self.start, self.stop) == (self.shard.start, self.shard.stop)


@dataclass
class _Slot:
    """An actor and what it is doing: waiting for a place on a node, loading its engine, then pieces.

    since: when it began to wait; node: the node's id, once it has a place.
    """

    actor: Any
    placing: Any
    loading: Any
    since: float
    node: str | None = None
    running: dict[Any, _Piece] = field(default_factory=dict)

    @property
    def refs(self) -> list[Any]:
        """The calls whose end is to be waited for."""
        return [ref for ref in (self.placing, self.loading) if ref is not None] or list(self.running)

    def has_room(self, suspect: bool, in_flight: int) -> bool:
        """A suspect piece is worked on alone, so that a death is surely its own; of others it takes `in_flight`."""
        if self.loading is not None or any(piece.deaths for piece in self.running.values()):
            return False
        return not self.running if suspect else len(self.running) < in_flight


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

        self._run, self._room, self._max_restarts = run, room, max_restarts
        self._in_flight = shards_in_flight(run.engine.most_at_once, run.manifest.shard_rows)
        self._needs = f"{cpus_per_worker:g} CPUs and {run.engine.num_gpus:g} GPUs"
        self._fresh = deque(_Piece(shard, shard.start, shard.stop) for shard in shards)
        self._suspects: deque[_Piece] = deque()
        self._parts: dict[int, list[tuple[int, pa.Table]]] = {}  # shard number -> its pieces answered so far
        self._deaths = 0
        self._deaths_while_loading = 0
        self._actor_class = ray.remote(
            num_cpus=cpus_per_worker,
            num_gpus=run.engine.num_gpus,
            max_restarts=0,
            max_concurrency=self._in_flight,
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
            working = any(slot.running for slot in self._slots)
            waiting = bool(self._fresh or self._suspects)
            if not working and (stop.requested or not waiting):
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
        pieces = len(self._fresh) + len(self._suspects) + sum(len(slot.running) for slot in self._slots)
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
        """Give pieces to whoever has fewest; towards the end nobody takes more than a fair share of what is left."""
        share = -(-(len(self._fresh) + sum(len(slot.running) for slot in self._slots)) // max(len(self._slots), 1))
        in_flight = min(max(share, 2), self._in_flight)
        while queue := self._suspects or self._fresh:
            suspect = queue is self._suspects
            free = [slot for slot in self._slots if slot.has_room(suspect, in_flight)]
            if not free:
                break
            slot, piece = min(free, key=lambda slot: len(slot.running)), queue.popleft()
            if piece.whole:
                ref = slot.actor.process.remote(piece.shard)
            else:
                ref = slot.actor.answer.remote(piece.shard, piece.start, piece.stop)
            slot.running[ref] = piece

    def _finish(self, ref: Any) -> Iterator[Footer]:
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
                self._deaths_while_loading = 0
            else:
                piece = slot.running.pop(ref)
                self._deaths = 0
                yield from [value] if piece.whole else self._gather(piece, value)

    def _bury(self, slot: _Slot, why: str, reason: str) -> Iterator[Footer]:
        """Replace a dead worker; its pieces are tried again alone, and halved when that was the second death.

        why: for the log; reason: for the row that turns out to be at fault.
        """
        import ray

        node_died = slot.node is not None and slot.node not in _living_nodes()
        self._deaths += 1
        self._deaths_while_loading += slot.loading is not None and not node_died
        if self._deaths > self._max_restarts or self._deaths_while_loading >= _DEATHS_WHILE_LOADING:
            raise RunFailed(
                f"workers died {self._deaths} times with nothing finished in between, {self._deaths_while_loading} of "
                f"them while loading the engine; the last death: {why}. Mend that, or raise executor.max_restarts="
                f"{self._max_restarts}, and run the same line again"
            )
        log.warning("a worker died (%s); %s", why, "its node died" if node_died else "starting another")
        ray.kill(slot.actor)
        self._slots.remove(slot)
        self._next_look = 0.0
        for piece in slot.running.values():
            piece.deaths += not node_died
            if piece.deaths == 0:
                self._fresh.appendleft(piece)
            elif piece.deaths < 2:
                self._suspects.append(piece)
            elif piece.stop - piece.start > 1:
                middle = (piece.start + piece.stop) // 2
                self._suspects.append(_Piece(piece.shard, piece.start, middle, deaths=1))
                self._suspects.append(_Piece(piece.shard, middle, piece.stop, deaths=1))
            elif piece.deaths < _DEATHS_OF_A_ROW:
                self._suspects.append(piece)
            else:
                log.warning("row %d of shard %d kills its worker: recorded as failed", piece.start, piece.shard.number)
                table = dead_row(self._run, piece.shard, piece.start, reason)
                yield from self._gather(piece, table)

    def _gather(self, piece: _Piece, table: pa.Table) -> Iterator[Footer]:
        """Keep a piece's table; commit its shard when all its pieces are there."""
        shard = piece.shard
        parts = self._parts.setdefault(shard.number, [])
        parts.append((piece.start, table))
        if sum(part.num_rows for _, part in parts) == shard.rows:
            whole = pa.concat_tables([part for _, part in sorted(parts, key=lambda part: part[0])])
            del self._parts[shard.number]
            yield commit(whole, shard, self._run.manifest, self._run.folder, seconds=0.0)


def _living_nodes() -> set[str]:
    import ray

    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}
