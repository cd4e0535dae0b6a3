"""The runner around a bare engine loop over the same batches: 1,000 battles, the packaged model, one process.

python -m tests.bench.runner

The runner reads, cuts, tokenizes, renormalises, writes, syncs and renames; the loop has its requests ready in memory.
Groups of shards are timed in turn (loop, runner, runner, loop, …), so that a drift of the machine's speed hits both.
"""

import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_dir

import conf
from jobs.judge import Config
from lib.data.intake import read_rows
from lib.engines import load_engine, load_tokenizer
from lib.launch import typed
from lib.pipeline.inline import work
from lib.pipeline.run import open_run
from lib.pipeline.stop import Stop
from lib.pipeline.worker import Worker
from lib.tasks.pairwise import Pairwise

ROOT = Path(conf.__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "autoj" / "testdata_pairwise.jsonl"
ROWS, GROUPS, MAX_TOKENS = 1000, 4, 192


def main() -> None:
    """Print seconds of both and their ratio."""
    conf.register("judge", Config)
    with (
        tempfile.TemporaryDirectory() as folder,
        initialize_config_dir(str(Path(conf.__file__).parent), version_base="1.3"),
    ):
        overrides = ["data=autoj", f"data.path={DATA}", f"data.limit={ROWS}", "judge.swap=none", "run.name=bench"]
        overrides += [f"engine.max_model_len={MAX_TOKENS}", "run.shard_rows=125", f"run.dir={folder}"]
        config: Config = typed(compose("judge", overrides=overrides))
        task = Pairwise(config.judge, config.prompt)
        spec = open_run("judge", config.run, config.data, config.engine, task)
        start = time.perf_counter()
        worker = Worker(spec)
        print(f"start-up of the worker: {time.perf_counter() - start:.1f} s")

        tokenizer = load_tokenizer(spec.engine)
        engine = load_engine(spec.engine, tokenizer, task.method)
        shards = spec.manifest.shards()
        ready = [
            task.prepare(
                read_rows(spec.manifest.inputs[0], spec.folder, s.start, s.stop, spec.data), tokenizer, MAX_TOKENS
            )
            for s in shards
        ]
        task.ask(engine, ready[0])  # warm-up
        size = len(shards) // GROUPS
        seconds = {"loop": 0.0, "runner": 0.0}
        for group in range(GROUPS):
            for side in ("loop", "runner") if group % 2 == 0 else ("runner", "loop"):
                inside = slice(group * size, (group + 1) * size)
                start = time.perf_counter()
                if side == "loop":
                    for prepared in ready[inside]:
                        task.ask(engine, prepared)
                else:
                    for _ in work(worker, shards[inside], Stop(0)):
                        pass
                seconds[side] += time.perf_counter() - start
        tokens = sum(len(request) for prepared in ready for request in prepared.requests)
        print(f"{ROWS:,} rows, {tokens:,} tokens, {len(shards)} shards")
        for side, spent in seconds.items():
            print(f"{side}: {spent:.1f} s, {ROWS / spent:.2f} rows/s, {tokens / spent:,.0f} tokens/s")
        print(f"runner / loop: {seconds['runner'] / seconds['loop']:.3f}")


if __name__ == "__main__":
    main()
