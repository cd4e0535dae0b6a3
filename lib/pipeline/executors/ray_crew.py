"""Workers as Ray actors."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lib.data.manifest import Shard
from lib.data.shards import Footer
from lib.errors import EngineError, OvernightError, RunFailed
from lib.pipeline.executors.crew import KILLED, Answered, Died, News, Placed, Ready
from lib.pipeline.executors.shard_queue import Piece
from lib.pipeline.run import Run
from lib.pipeline.worker import Worker

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

_PLACING, _LOADING = "placing", "loading"

_Call = Piece | str
"""What a worker was asked for: a piece, or one of the two above."""


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


@dataclass
class _Actor:
    """node: its id, once the actor has a place."""

    handle: "ActorHandle"
    node: str | None = None


class RayCrew:
    """The workers of a run, within an initialised Ray."""

    def __init__(self, run: Run, *, room: Callable[[], int], cpus_per_worker: float, in_flight: int) -> None:
        """room: says how many workers the cluster has room for. in_flight: pieces that a worker has in hand at most."""
        import ray

        self.room = room
        self._actor_class = ray.remote(
            num_cpus=cpus_per_worker,
            num_gpus=run.engine.num_gpus,
            max_restarts=0,
            max_concurrency=in_flight,
            runtime_env={"env_vars": {"TQDM_DISABLE": "1"}},  # only the driver draws a bar
        )(_LazyWorker)
        self._run = ray.put(run)
        self._actors: dict[int, _Actor] = {}
        self._ended: SimpleQueue[tuple[int, _Call, Future[Any]]] = SimpleQueue()

    def now(self) -> float:
        """Seconds of this machine's clock."""
        return time.monotonic()

    def hire(self, worker: int) -> None:
        """Start an actor."""
        handle = self._actor_class.remote()
        self._actors[worker] = _Actor(handle)
        self._await(worker, _PLACING, handle.node.remote())
        self._await(worker, _LOADING, handle.load.remote(self._run))

    def give(self, worker: int, piece: Piece) -> None:
        """Have an actor answer a piece."""
        handle = self._actors[worker].handle
        if piece.whole:
            self._await(worker, piece, handle.process.remote(piece.shard))
        else:
            self._await(worker, piece, handle.answer.remote(piece.shard, piece.start, piece.stop))

    def dismiss(self, worker: int) -> None:
        """Kill an actor."""
        import ray

        ray.kill(self._actors.pop(worker).handle)

    def news(self, seconds: float) -> Iterator[News]:
        """What ended, each with what it brought. Raises RunFailed where a worker failed and no row is to blame."""
        try:
            ended = [self._ended.get(timeout=seconds)]
        except Empty:
            return
        ended += [self._ended.get() for _ in range(self._ended.qsize())]
        nodes: set[str] = set()  # that live; looked for at most once
        for worker, call, future in ended:
            if worker not in self._actors:
                continue
            news = self._read(worker, call, future)
            if isinstance(news, Died) and (node := self._actors[worker].node):
                nodes = nodes or _living_nodes()
                news = Died(worker, news.why, news.reason, node_died=node not in nodes)
            yield news

    def _await(self, worker: int, call: _Call, ref: "ObjectRef") -> None:
        """Have a call's end put into the queue. Ray's own wait looks at all calls, each time that one ends."""
        ref.future().add_done_callback(partial(self._note, worker, call))

    def _note(self, worker: int, call: _Call, future: "Future[Any]") -> None:
        self._ended.put((worker, call, future))

    def _read(self, worker: int, call: _Call, future: "Future[Any]") -> News:
        import ray

        try:
            value = future.result()
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, EngineError) and isinstance(call, Piece):
                return Died(worker, str(cause), str(cause), node_died=False)
            if isinstance(cause, OvernightError):
                raise cause from None
            raise RunFailed(f"a worker failed, and no row is to blame:\n{error}") from error
        except ray.exceptions.RayError as death:  # of the worker, of its node, or for want of memory
            return Died(worker, " ".join(str(death).split())[:300], KILLED, node_died=False)
        if isinstance(call, Piece):
            return Answered(worker, call, value)
        if call == _LOADING:
            return Ready(worker, value)
        self._actors[worker].node = value
        return Placed(worker)


def _living_nodes() -> set[str]:
    import ray

    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}
