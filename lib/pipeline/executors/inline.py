"""The inline executor: one worker in this process. It needs no Ray, and cannot survive a row that kills it."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from lib.data.manifest import Shard
from lib.data.shards import Footer
from lib.log import log
from lib.pipeline.executors.base import ExecutorConfig, shards_in_flight
from lib.pipeline.run import Run
from lib.pipeline.stop import Stop
from lib.pipeline.worker import Worker


@dataclass(frozen=True, kw_only=True)
class InlineConfig(ExecutorConfig):
    """Works on the shards in this process."""

    def run(self, run: Run, shards: Sequence[Shard], stop: Stop) -> Iterator[Footer]:
        """Process the shards; yield each one's footer as it is committed. Returns early where `stop` asks for it."""
        log.info("loading %s", run.engine_name)
        worker = Worker(run)
        log.info("the worker is ready: %s", worker.ready)
        return work(worker, shards, stop, shards_in_flight(run.engine.most_at_once, run.manifest.shard_rows))


def work(worker: Worker, shards: Sequence[Shard], stop: Stop, in_flight: int) -> Iterator[Footer]:
    """Have a worker process the shards, so many of them in flight."""
    waiting = deque(shards)
    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="shard")
    running: set[Future[Footer]] = set()
    try:
        while not stop.expired:
            while waiting and len(running) < in_flight and not stop.requested:
                running.add(pool.submit(worker.process, waiting.popleft()))
            if not running:
                return
            done, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
