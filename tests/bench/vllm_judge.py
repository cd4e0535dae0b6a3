"""A judge run through vLLM, from request to Parquet, beside `vllm.LLM` called directly on the same prompts.

python -m tests.bench.vllm_judge [ROWS]

1,000 battles (or ROWS) in both orders, the packaged model in float32 on the CPU, one process. The direct calls have
their prompts ready in memory, in file order, and write nothing; they ask for the same log-probabilities with the same
cache memory and threads, once with vLLM's own defaults for the rest and once with our block size. The runner reads,
cuts, tokenizes, renormalises and writes, two shards in flight; it runs with our vLLM engine and with our transformers
engine. All take turns, every fourth shard in one, in one order and then in the other, so that a drift of the machine's
speed hits all alike. What the prefix cache gave: as a share of what an endless one would, from the token ids. MFU: of
what was computed, as a share of a large square matrix product, measured between the turns. CPU: seconds of all of the
process's threads, which say more than the clock where other work shares the machine.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch

from lib.data.manifest import Shard
from lib.engines.checkpoints.checkpoint import weights_folder
from lib.engines.decoding.label_tokens import distinct, next_tokens, prefixes
from lib.engines.decoding.prefixes import reusable_beginnings
from lib.engines.sizing.flops import peak_flops
from lib.engines.sizing.model_size import Sizing
from lib.engines.vllm.start import environment
from lib.engines.vllm.vllm_config import CPU_CACHE_BYTES, VllmConfig
from lib.pipeline.executors.base import shards_in_flight
from lib.pipeline.executors.inline import work
from lib.pipeline.run import Run
from lib.pipeline.stop import Stop
from lib.pipeline.worker import Worker
from lib.types import Label, TokenIds
from tests.bench.judging import overrides, planned, prepared

ROWS, GROUPS, SHARDS, MAX_TOKENS = 1000, 4, 16, 256
_WARM_UP = [[7] * 100, [8] * 100]  # shares nothing with a real prompt


@dataclass
class Side:
    """One of those that are compared. run: answer a group's prompts, which lie in these shards.

    outputs: vLLM's, as they came; block: tokens of a block of its cache, None where there is no cache.
    """

    name: str
    start_up: float
    run: Callable[[Sequence[Shard], Sequence[TokenIds]], Any]
    outputs: list[Any]
    block: int | None
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int, nargs="?", default=ROWS)
    rows = parser.parse_args(arguments).rows
    line = overrides(f"engine.max_model_len={MAX_TOKENS}", f"run.shard_rows={-(-rows // SHARDS)}", rows=rows)
    os.environ.update(environment(num_gpus=0))
    start = time.perf_counter()
    import vllm  # noqa: F401

    print(f"import of vLLM: {time.perf_counter() - start:.1f} s, in no start-up below")
    with ExitStack() as stack:
        ours = stack.enter_context(planned([*line, "engine=smollm2_135m_vllm"]))
        other = stack.enter_context(planned([*line, "engine=smollm2_135m"]))
        tokenizer = ours.engine.load_tokenizer()
        shards = ours.manifest.shards()
        ready = [prepared(ours, shard, tokenizer) for shard in shards]
        labels = ready[0].notes.labels[0]
        assert all(own == labels for asked in ready for own in asked.notes.labels)
        runner = _runner("runner, vLLM", ours)
        assert runner.block is not None
        sides = [
            _direct("vllm.LLM, its defaults", ours.engine, labels),
            _direct(f"vllm.LLM, blocks of {runner.block}", ours.engine, labels, block_size=runner.block),
            runner,
            _runner("runner, transformers", other),
        ]
        groups = [range(len(shards))[number::GROUPS] for number in range(GROUPS)]
        ceilings = []
        for number, group in enumerate(groups):
            prompts = [request for shard in group for request in ready[shard].requests]
            ceilings.append(peak_flops("cpu", ours.engine.dtype.value))
            for side in sides if number % 2 == 0 else reversed(sides):
                start, cpu = time.perf_counter(), time.process_time()
                side.run([shards[shard] for shard in group], prompts)
                side.seconds.append(time.perf_counter() - start)
                side.cpu_seconds.append(time.process_time() - cpu)
        _require_equal(sides[0].outputs, runner.outputs)
        requests = [request for group in groups for shard in group for request in ready[shard].requests]
        model = ours.engine.sizing()
        assert model is not None
        _report(sides, requests, rows, median(ceilings), model)


def _direct(name: str, config: Any, labels: Sequence[Label], **changes: Any) -> Side:
    """`vllm.LLM`, asked for what our engine asks for."""
    from vllm import LLM, SamplingParams

    sequences = [distinct(label) for label in labels]
    assert prefixes(sequences) == [()], "a label of several tokens would need more requests a prompt"
    params = SamplingParams(
        max_tokens=1, temperature=0.0, detokenize=False, logprob_token_ids=next_tokens(sequences, ())
    )
    start = time.perf_counter()
    llm = LLM(
        model=str(weights_folder(config)),
        skip_tokenizer_init=True,
        dtype=config.dtype.value,
        max_model_len=config.max_model_len,
        kv_cache_memory_bytes=CPU_CACHE_BYTES,
        enforce_eager=True,
        **changes,
    )
    start_up = time.perf_counter() - start
    outputs: list[Any] = []

    def ask(prompts: Sequence[TokenIds]) -> list[Any]:
        return llm.generate([{"prompt_token_ids": list(p)} for p in prompts], params, use_tqdm=False)

    ask(_WARM_UP)
    block = llm.llm_engine.vllm_config.cache_config.block_size
    return Side(name, start_up, lambda _, prompts: outputs.extend(ask(prompts)), outputs, block)


def _runner(name: str, run: Run) -> Side:
    """Our runner, whose engine's outputs are kept."""
    start = time.perf_counter()
    worker = Worker(run)
    in_flight = shards_in_flight(run.engine.most_at_once, run.manifest.shard_rows)
    start_up = time.perf_counter() - start
    engine: Any = worker._engine
    engine.label_logprobs(_WARM_UP, [((1,),), ((2,),)])
    outputs: list[Any] = []
    block = None
    if isinstance(run.engine, VllmConfig):
        block, answer = engine._block, engine._loop.answer

        def kept(requests: Any) -> list[Any]:
            answers: list[Any] = answer(requests)
            outputs.extend(answers)
            return answers

        engine._loop.answer = kept
    return Side(name, start_up, lambda shards, _: list(work(worker, shards, Stop(0), in_flight)), outputs, block)


def _require_equal(one: Sequence[Any], other: Sequence[Any]) -> None:
    """Both answered the same prompts, with the same log-probabilities."""

    def values(outputs: Sequence[Any]) -> dict[Any, list[float]]:
        found = {tuple(output.prompt_token_ids): output.outputs[0].logprobs[0] for output in outputs}
        return {tokens: [steps[token].logprob for token in sorted(steps)] for tokens, steps in found.items()}

    ours, theirs = values(one), values(other)
    assert ours.keys() == theirs.keys()
    asked = len(next(iter(ours.values())))
    np.testing.assert_allclose([ours[k][:asked] for k in ours], [theirs[k][:asked] for k in ours], atol=1e-3)


def _report(sides: Sequence[Side], requests: Sequence[TokenIds], rows: int, ceiling: float, model: Sizing) -> None:
    tokens = sum(map(len, requests))
    print(f"{rows:,} rows, {len(requests):,} prompts of up to {MAX_TOKENS} tokens, {tokens:,} tokens in all;")
    print(f"{torch.get_num_threads()} threads, a ceiling of {ceiling / 1e9:.0f} GFLOP/s\n")
    print("| side | start-up s | rows/s | tokens/s | speed (by group) | by CPU | cached | of the ideal | MFU |")
    print("|---|---|---|---|---|---|---|---|---|")
    first = sides[0]
    for side in sides:
        spent, cpu = sum(side.seconds), sum(side.cpu_seconds)
        cached = [output.num_cached_tokens or 0 for output in side.outputs]
        ideal = sum(reusable_beginnings(requests, side.block)) if side.block else 0
        share = f"{sum(cached) / ideal:.0%} of {ideal / tokens:.1%}" if ideal else "-"
        flops = model.flops([len(request) for request in requests], cached)
        by_group = " ".join(f"{one / other:.2f}" for one, other in zip(first.seconds, side.seconds, strict=True))
        print(
            f"| {side.name} | {side.start_up:.1f} | {rows / spent:.2f} | {tokens / spent:,.0f} | "
            f"{sum(first.seconds) / spent:.2f} ({by_group}) | {sum(first.cpu_seconds) / cpu:.2f} ({cpu:.0f} s) | "
            f"{sum(cached) / tokens:.1%} | {share} | {flops / spent / ceiling:.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
