"""The server executor: a vLLM server of the run's own, for a model that is larger than a node."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from lib.config import transient
from lib.data.manifest import Shard
from lib.data.shards import Footer, commit
from lib.engines.own_server.server_process import serving
from lib.engines.vllm.vllm_config import GENERATING, VllmConfig
from lib.errors import ConfigError
from lib.log import log
from lib.pipeline.executors.base import ExecutorConfig, shards_in_flight
from lib.pipeline.executors.pool import Pool
from lib.pipeline.executors.server_crew import ServerCrew
from lib.pipeline.executors.shard_queue import ShardQueue
from lib.pipeline.run import Run
from lib.pipeline.stop import Stop
from lib.pipeline.worker import dead_row


@dataclass(frozen=True, kw_only=True)
class ServerConfig(ExecutorConfig):
    """Works on the shards with one vLLM server, on all GPUs of the engine, which is started and ended with the run.

    In an allocation with a Ray cluster (RAY_ADDRESS) vLLM takes the GPUs of several nodes. start_seconds: that the
    server may take to load the model. max_restarts: deaths of the server with no shard finished in between before
    giving up.
    """

    start_seconds: float = transient(default=3600.0)
    max_restarts: int = transient(default=50)

    def __post_init__(self) -> None:
        if self.start_seconds <= 0:
            raise ConfigError(f"executor.start_seconds={self.start_seconds:g}: must be positive")
        if self.max_restarts < 0:
            raise ConfigError(f"executor.max_restarts={self.max_restarts}: must not be negative")

    def run(self, run: Run, shards: Sequence[Shard], stop: Stop) -> Iterator[Footer]:
        """Process the shards; yield each one's footer as it is committed. Returns early where `stop` asks for it.

        Raises ConfigError for an engine that isn't vLLM's, or answers something else than text and labels, EngineError
        where the server doesn't come up, RunFailed where it dies too often.
        """
        engine = run.engine
        if not isinstance(engine, VllmConfig):
            raise ConfigError(
                "executor=server: starts a server for a vllm engine, which this one isn't; use executor=inline or ray"
            )
        if run.task.method not in GENERATING:
            raise ConfigError(
                "executor=server: its server writes and tells of labels, but gives no vectors, scores or classes; use "
                "executor=ray"
            )
        if run.data.shows_files:
            raise ConfigError("executor=server: asks by token ids, which show no images; use executor=ray or inline")
        in_flight = shards_in_flight(engine.most_at_once, run.manifest.shard_rows)
        crew = ServerCrew(run, engine, serving(engine), start_seconds=self.start_seconds, in_flight=in_flight)
        log.info("starting a vLLM server for this run; what it says is in %s", crew.log)
        pool = Pool(
            ShardQueue(shards, in_flight=in_flight, max_restarts=self.max_restarts),
            crew,
            needs=f"{engine.num_gpus:g} GPUs",
            commit=partial(commit, manifest=run.manifest, folder=run.folder, seconds=0.0),
            dead_row=lambda row, reason: dead_row(run, row.shard, row.start, reason),
        )
        try:
            yield from pool.run(stop)
        finally:
            pool.close()
