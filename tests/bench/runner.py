"""The runner around a bare engine loop over the same batches: 1,000 battles, the packaged model, one process.

python -m tests.bench.runner [ROWS]

The runner reads, cuts, tokenizes, renormalises, writes, syncs and renames; the loop has its requests ready in memory.
Groups of shards are timed in turn (loop, runner, runner, loop, …), so that a drift of the machine's speed hits both.
A group's first shard is prepared while the engine waits, which a run has once in 200 shards, so groups are large.
What the runner costs is also told from its own time alone, which other work on the machine hardly changes: the share in
which the engine waited for a shard, what the runner took of the processors for itself, and how much longer the engine
took for the same requests while that went on beside it.
"""

import os
import sys
import threading
import time
from typing import Any

import torch

from lib.data.manifest import Shard
from lib.data.shards import Footer
from lib.pipeline.executors.base import shards_in_flight
from lib.pipeline.executors.inline import work
from lib.pipeline.stop import Stop
from lib.pipeline.worker import Worker
from tests.bench.judging import overrides, planned, prepared

ROWS, GROUPS, SHARDS, MAX_TOKENS = 1000, 2, 32, 192
FEWEST = 8  # rows of a shard, as a run has it


def main() -> None:
    """Print seconds of both and their ratio, and what the runner costs."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    shard_rows = max(rows // SHARDS, FEWEST)
    line = overrides("judge.swap=none", f"engine.max_model_len={MAX_TOKENS}", f"run.shard_rows={shard_rows}", rows=rows)
    with planned(line) as run:
        start = time.perf_counter()
        worker = Worker(run)
        print(f"start-up of the worker: {time.perf_counter() - start:.1f} s")

        tokenizer = run.engine.load_tokenizer()
        engine = run.engine.load(tokenizer, run.task.method)
        shards = run.manifest.shards()
        in_flight = shards_in_flight(run.engine.most_at_once, run.manifest.shard_rows)
        ready = [prepared(run, shard, tokenizer) for shard in shards]
        run.task.ask(engine, ready[0])  # warm-up
        size = len(shards) // GROUPS
        seconds = {"loop": 0.0, "runner": 0.0}
        cpu = dict(seconds)
        spent = watch(worker)
        for group in range(GROUPS):
            for side in ("loop", "runner") if group % 2 == 0 else ("runner", "loop"):
                inside = slice(group * size, (group + 1) * size)
                start, before = time.perf_counter(), time.process_time()
                if side == "loop":
                    for requests in ready[inside]:
                        run.task.ask(engine, requests)
                else:
                    for _ in work(worker, shards[inside], Stop(0), in_flight):
                        pass
                seconds[side] += time.perf_counter() - start
                cpu[side] += time.process_time() - before
        tokens = sum(len(request) for requests in ready for request in requests.requests)
        print(f"{rows:,} rows, {tokens:,} tokens, {len(shards)} shards, {torch.get_num_threads()} threads")
        for side, taken in seconds.items():
            print(f"{side}: {taken:.1f} s, {rows / taken:.2f} rows/s, {tokens / taken:,.0f} tokens/s")
        print(f"runner / loop: {seconds['runner'] / seconds['loop']:.3f}; by CPU {cpu['runner'] / cpu['loop']:.3f}")
        print(f"the engine waited: {1 - spent['engine'] / seconds['runner']:.2%} of the runner's time")
        print(f"the engine itself, with that beside it / alone: {spent['engine'] / seconds['loop']:.3f}")
        processors = len(os.sched_getaffinity(0)) * seconds["runner"]
        print(f"reading, cutting, tokenizing, writing: {spent['rest'] / processors:.2%} of the processors' time")


def watch(worker: Worker) -> dict[str, float]:
    """Seconds in which the worker's engine answers, and processor seconds of the rest of its shards; they go on."""
    spent = {"engine": 0.0, "rest": 0.0}
    engine: Any = worker._engine
    process, turn = worker.process, threading.Lock()

    class Watched:
        memory = engine.memory

        def label_logprobs(self, *arguments: Any) -> Any:
            cpu = time.thread_time()
            with turn:
                start = time.perf_counter()
                answers = engine.label_logprobs(*arguments)
                spent["engine"] += time.perf_counter() - start
            spent["rest"] -= time.thread_time() - cpu
            return answers

    def watched(shard: Shard) -> Footer:
        cpu = time.thread_time()
        footer = process(shard)
        spent["rest"] += time.thread_time() - cpu
        return footer

    worker._engine = Watched()
    worker.process = watched  # type: ignore[method-assign]
    return spent


if __name__ == "__main__":
    main()
