"""The runner around a bare engine loop over the same batches: 1,000 battles, the packaged model, one process.

python -m tests.bench.runner

The runner reads, cuts, tokenizes, renormalises, writes, syncs and renames; the loop has its requests ready in memory.
Groups of shards are timed in turn (loop, runner, runner, loop, …), so that a drift of the machine's speed hits both.
"""

import time

from lib.engines import load_engine, load_tokenizer
from lib.pipeline.inline import work
from lib.pipeline.stop import Stop
from lib.pipeline.worker import Worker
from tests.bench.judging import overrides, planned, prepared

ROWS, GROUPS, MAX_TOKENS = 1000, 4, 192


def main() -> None:
    """Print seconds of both and their ratio."""
    line = overrides("judge.swap=none", f"engine.max_model_len={MAX_TOKENS}", "run.shard_rows=125", rows=ROWS)
    with planned(line) as spec:
        start = time.perf_counter()
        worker = Worker(spec)
        print(f"start-up of the worker: {time.perf_counter() - start:.1f} s")

        tokenizer = load_tokenizer(spec.engine)
        engine = load_engine(spec.engine, tokenizer, spec.task.method)
        shards = spec.manifest.shards()
        ready = [prepared(spec, shard, tokenizer) for shard in shards]
        spec.task.ask(engine, ready[0])  # warm-up
        size = len(shards) // GROUPS
        seconds = {"loop": 0.0, "runner": 0.0}
        for group in range(GROUPS):
            for side in ("loop", "runner") if group % 2 == 0 else ("runner", "loop"):
                inside = slice(group * size, (group + 1) * size)
                start = time.perf_counter()
                if side == "loop":
                    for requests in ready[inside]:
                        spec.task.ask(engine, requests)
                else:
                    for _ in work(worker, shards[inside], Stop(0)):
                        pass
                seconds[side] += time.perf_counter() - start
        tokens = sum(len(request) for requests in ready for request in requests.requests)
        print(f"{ROWS:,} rows, {tokens:,} tokens, {len(shards)} shards")
        for side, spent in seconds.items():
            print(f"{side}: {spent:.1f} s, {ROWS / spent:.2f} rows/s, {tokens / spent:,.0f} tokens/s")
        print(f"runner / loop: {seconds['runner'] / seconds['loop']:.3f}")


if __name__ == "__main__":
    main()
