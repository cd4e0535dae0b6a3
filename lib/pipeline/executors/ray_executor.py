"""The Ray executor: workers as actors of a cluster, a local one unless there is one to join."""

import logging
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from functools import partial

from lib import ROOT
from lib.config import transient
from lib.data.manifest import Shard
from lib.data.shards import Footer, commit
from lib.durations import shown
from lib.errors import ConfigError, OvernightError, RunFailed
from lib.log import log
from lib.pipeline.executors.base import ExecutorConfig, shards_in_flight
from lib.pipeline.executors.pool import Pool
from lib.pipeline.executors.ray_crew import RayCrew
from lib.pipeline.executors.shard_queue import ShardQueue
from lib.pipeline.run import Run
from lib.pipeline.stop import Stop, stopped
from lib.pipeline.worker import dead_row

_MOST_CPU_WORKERS = 8  # of a node
_GRAINS = 10_000  # of a CPU or GPU


@dataclass(frozen=True, kw_only=True)
class RayConfig(ExecutorConfig):
    """Works on the shards with Ray actors: of the cluster at RAY_ADDRESS, else of a local one started for the run.

    workers: number of actors; null: as many as the GPUs of the nodes allow (without GPUs: as the CPUs allow, at most 8
    a node), more when a node joins.
    cpus_per_worker: logical CPUs, and so threads, of an actor. max_restarts: deaths of workers
    with no shard finished in between before giving up.
    """

    workers: int | None = transient(default=None)
    cpus_per_worker: float = transient(default=1)
    max_restarts: int = transient(default=50)

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"executor.workers={self.workers}: must be at least 1, or null for as many as fit")
        if self.cpus_per_worker <= 0:
            raise ConfigError(f"executor.cpus_per_worker={self.cpus_per_worker}: must be positive")
        if self.max_restarts < 0:
            raise ConfigError(f"executor.max_restarts={self.max_restarts}: must not be negative")

    def run(self, run: Run, shards: Sequence[Shard], stop: Stop) -> Iterator[Footer]:
        """Process the shards; yield each one's footer as it is committed. Returns early where `stop` asks for it.

        Raises ConfigError where the cluster lacks the resources, RunFailed where workers die too often, and what a
        worker raised where no row is to blame.
        """
        import ray

        joined = ray.is_initialized()
        if not joined:
            start, address = time.monotonic(), os.environ.get("RAY_ADDRESS")
            log.info("%s", f"connecting to Ray at {address}" if address else "starting Ray on this machine")
            _connect()
            log.info("Ray is up after %s; each worker loads %s", shown(time.monotonic() - start), run.engine_name)
        stop.listen()
        _require_room(self, run)
        workers = self.workers or run.engine.usual_workers
        if workers:
            run = replace(run, engine=run.engine.shared(workers))
        in_flight = shards_in_flight(run.engine.most_at_once, run.manifest.shard_rows)
        pool = Pool(
            ShardQueue(shards, in_flight=in_flight, max_restarts=self.max_restarts),
            RayCrew(
                run,
                room=lambda: workers or _room(self, run),
                cpus_per_worker=self.cpus_per_worker,
                in_flight=in_flight,
            ),
            needs=f"{self.cpus_per_worker:g} CPUs and {run.engine.num_gpus:g} GPUs",
            commit=partial(commit, manifest=run.manifest, folder=run.folder, seconds=0.0),
            dead_row=lambda row, reason: dead_row(run, row.shard, row.start, reason),
        )
        try:
            yield from pool.run(stop)
        finally:
            pool.close()
            if not joined:
                ray.shutdown()


def _connect() -> None:
    import ray

    address = os.environ.get("RAY_ADDRESS") or "local"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise ConfigError(
                f"RAY_ADDRESS={address}: no Ray answers there ({error}); start it, or unset RAY_ADDRESS to start a "
                "local one with the run"
            ) from error
    local: dict[str, object] = (
        {"include_dashboard": False, "object_store_memory": 256 << 20} if address == "local" else {}
    )
    with chdir(ROOT):  # workers import from the folder that Ray is begun in
        try:
            ray.init(address=address, logging_level=logging.ERROR, **local)
        except SystemExit:  # of the handler of SIGTERM that Ray has meanwhile
            raise stopped(signal.SIGTERM) from None
        except Exception as error:  # Ray raises plain ones, as for a node that is not up in time
            raise _not_up(address, error) from error


def _not_up(address: str, error: Exception) -> OvernightError:
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    if address == "local":
        return RunFailed(
            f"Ray did not come up here ({why}); mend that, or wait until the machine has less to do, and run the same "
            "line again; executor=inline needs no Ray"
        )
    return ConfigError(
        f"RAY_ADDRESS={address}: no Ray can be joined there ({why}); start it, or unset RAY_ADDRESS to start a local "
        "one with the run"
    )


def _require_room(config: RayConfig, run: Run) -> None:
    import ray

    room = _room(config, run)
    if (config.workers or 1) > room:
        resources = ray.cluster_resources()
        raise ConfigError(
            f"executor.workers={config.workers or 'null'}: the Ray cluster has room for {room}: "
            f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs, of which each worker takes "
            f"{config.cpus_per_worker:g} (executor.cpus_per_worker) and {run.engine.num_gpus:g} (engine.num_gpus) of "
            f"one node; {f'use at most executor.workers={room}' if room else 'let each take less'}"
        )


def _room(config: RayConfig, run: Run) -> int:
    """How many workers the living nodes have room for. A worker is on one node, with all its GPUs."""
    import ray

    return sum(_room_on(node["Resources"], config, run) for node in ray.nodes() if node["Alive"])


def _room_on(node: Mapping[str, float], config: RayConfig, run: Run) -> int:
    room = _times(config.cpus_per_worker, node.get("CPU", 0))
    if run.engine.num_gpus:
        return min(room, _times(run.engine.num_gpus, node.get("GPU", 0)))
    return min(room, _MOST_CPU_WORKERS) if config.workers is None else room


def _times(share: float, whole: float) -> int:
    """How many times a share fits, in the grains that Ray counts in: 40 tenths in 4, not 39 as floats have it."""
    return round(whole * _GRAINS) // max(round(share * _GRAINS), 1)
