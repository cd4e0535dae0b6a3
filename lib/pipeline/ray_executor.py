"""The Ray executor: workers as actors of a cluster, a local one unless there is one to join."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lib.config import transient
from lib.data.manifest import Shard
from lib.data.shards import Footer
from lib.errors import ConfigError
from lib.pipeline.executor import ExecutorConfig
from lib.pipeline.pool import Pool
from lib.pipeline.stop import Stop
from lib.pipeline.worker import Spec

_MOST_CPU_WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class RayConfig(ExecutorConfig):
    """Works on the shards with Ray actors: of the cluster at RAY_ADDRESS, else of a local one started for the run.

    workers: number of actors; null: as many as the GPUs allow (without GPUs: as the CPUs allow, at most 8).
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


def run(config: RayConfig, spec: Spec, shards: Sequence[Shard], stop: Stop) -> Iterator[Footer]:
    """Process the shards; yield each one's footer as it is committed. Returns early where `stop` asks for it.

    Raises ConfigError where the cluster lacks the resources, RunFailed where workers die too often, and what a
    worker raised where no row is to blame.
    """
    import ray

    joined = ray.is_initialized()
    if not joined:
        _connect()
    stop.listen()
    pool = Pool(
        spec,
        shards,
        workers=_worker_count(config, spec, len(shards)),
        cpus_per_worker=config.cpus_per_worker,
        max_restarts=config.max_restarts,
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
    local: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 256 << 20} if address == "local" else {}
    ray.init(address=address, logging_level=logging.ERROR, **local)


def _worker_count(config: RayConfig, spec: Spec, shards: int) -> int:
    import ray

    resources = ray.cluster_resources()
    cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    room = int(cpus // config.cpus_per_worker)
    if spec.engine.num_gpus:
        room = min(room, int(gpus / spec.engine.num_gpus))
    elif config.workers is None:
        room = min(room, _MOST_CPU_WORKERS)
    wanted = config.workers or max(room, 1)
    if wanted > room:
        raise ConfigError(
            f"executor.workers={wanted}: the Ray cluster has room for {room}: {cpus:g} CPUs and {gpus:g} GPUs, of "
            f"which each worker takes {config.cpus_per_worker:g} (executor.cpus_per_worker) and "
            f"{spec.engine.num_gpus:g} (engine.num_gpus); use at most executor.workers={room}"
        )
    return min(wanted, shards)
