"""One worker, in this process, and the vLLM server that it asks: a death of the server is the worker's."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from lib.data.run_folder import SERVER_LOG
from lib.engines.own_server.server_process import ServerProcess, Serving
from lib.engines.vllm.vllm_config import VllmConfig
from lib.errors import EngineError, OvernightError, RunFailed, Unfinished
from lib.pipeline.executors.crew import KILLED, Answered, Died, News, Placed, Ready
from lib.pipeline.executors.shard_queue import Piece
from lib.pipeline.run import Run
from lib.pipeline.worker import Worker


@dataclass
class _Pair:
    """A server, the threads that ask it, and the worker that they share, once the server answers."""

    server: ServerProcess
    threads: ThreadPoolExecutor
    worker: Worker | None = None


class ServerCrew:
    """The worker of a run, and its server.

    engine: what the server holds; serving: how it is started. start_seconds: that it may take to load. in_flight:
    pieces that the worker has in hand at most.
    """

    def __init__(self, run: Run, engine: VllmConfig, serving: Serving, *, start_seconds: float, in_flight: int) -> None:
        self._run, self._engine, self._serving = run, engine, serving
        self._start_seconds, self._in_flight = start_seconds, in_flight
        self._pairs: dict[int, _Pair] = {}
        self._loaded = False
        self._happened: SimpleQueue[tuple[int, Callable[[], News]]] = SimpleQueue()

    @property
    def log(self) -> Path:
        """What the servers of this run have said."""
        return self._run.folder / SERVER_LOG

    def now(self) -> float:
        """Seconds of this machine's clock."""
        return time.monotonic()

    def room(self) -> int:
        """One server takes all the GPUs."""
        return 1

    def hire(self, worker: int) -> None:
        """Start a server."""
        pair = _Pair(ServerProcess(self._serving, self.log), ThreadPoolExecutor(self._in_flight, "shard"))
        self._pairs[worker] = pair
        self._happened.put((worker, lambda: Placed(worker)))
        self._await(worker, None, pair.threads.submit(self._load, worker, pair))

    def give(self, worker: int, piece: Piece) -> None:
        """Have it answer a piece."""
        pair = self._pairs[worker]
        assert pair.worker is not None, "it said that it is ready"
        if piece.whole:
            self._await(worker, piece, pair.threads.submit(pair.worker.process, piece.shard))
        else:
            part = piece.shard, piece.start, piece.stop
            self._await(worker, piece, pair.threads.submit(pair.worker.answer, *part))

    def dismiss(self, worker: int) -> None:
        """End a server."""
        pair = self._pairs.pop(worker)
        pair.threads.shutdown(wait=False, cancel_futures=True)
        if pair.worker is not None:
            pair.worker.close()
        pair.server.close()

    def news(self, seconds: float) -> Iterator[News]:
        """What happened, in its order.

        Raises what a worker raised where its server lives, RunFailed where that tells of a defect.
        """
        try:
            happened = [self._happened.get(timeout=seconds)]
        except Empty:
            return
        happened += [self._happened.get() for _ in range(self._happened.qsize())]
        for worker, read in happened:
            if worker in self._pairs:
                yield read()

    def _load(self, worker: int, pair: _Pair) -> str:
        begin = self.now()
        pair.server.wait(self._start_seconds)
        pair.worker = Worker(replace(self._run, engine=pair.server.served(self._engine)))
        threading.Thread(target=self._watch, args=(worker, pair.server), name="server", daemon=True).start()
        return f"its server took {self.now() - begin:.1f} s to start"

    def _watch(self, worker: int, server: ServerProcess) -> None:
        """Tell of the server's end when it comes; those who ask it would only find nobody there."""
        why = f"its server {server.how_it_ended}; {self.log} may say why"
        self._happened.put((worker, lambda: Died(worker, why, KILLED, node_died=False)))

    def _await(self, worker: int, piece: Piece | None, future: Future[Any]) -> None:
        future.add_done_callback(lambda done: self._happened.put((worker, partial(self._read, worker, piece, done))))

    def _read(self, worker: int, piece: Piece | None, future: Future[Any]) -> News:
        try:
            value = future.result()
        except EngineError as error:
            if not self._loaded:
                raise
            why = f"{str(error).splitlines()[0].removesuffix(':')}; {self.log} may say why"
            return Died(worker, why, KILLED, node_died=False)
        except Unfinished as error:
            raise Unfinished(
                f"the run's own vLLM server answers nobody ({self.log} may say why): the same line starts another, and "
                "asks nothing twice"
            ) from error
        except OvernightError:
            raise
        except Exception as error:
            raise RunFailed(f"a worker failed, and no row is to blame: {type(error).__name__}: {error}") from error
        self._loaded = True
        return Ready(worker, value) if piece is None else Answered(worker, piece, value)
