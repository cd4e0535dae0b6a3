"""embed: a plain `SentenceTransformer.encode` (batches of 32 texts) against our batches, tokenizing included.

By hand: `OMP_NUM_THREADS=1 python -m tests.bench.embedding`. Same model (all-MiniLM-L6-v2, float32, CPU), same texts
(SciFact's abstracts and the sentences of STS-B, cut to 256 tokens), the two taking turns.
"""

import csv
import json
from typing import Any

import numpy as np
import torch

from lib.engines.checkpoints import checkpoint
from lib.engines.transformers.embedder import EmbedderEngine
from lib.types import TokenIds, Tokenizer
from tests.bench.measure import seconds
from tests.bench.padding import batches_of, padding_efficiency
from tests.conftest import SHARED
from tests.engines.transformers.test_embedder import MINILM

BATCH_TOKENS = 512  # the default on a CPU
ROUNDS = 3
TEXTS, ABSTRACTS, COPIES = 5000, 1000, 3


def main() -> None:
    """Measure, and print tables in Markdown."""
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(checkpoint.folder(MINILM)), device="cpu")
    assert theirs.get_max_seq_length() == MINILM.max_model_len
    tokenizer = MINILM.load_tokenizer()
    engine = MINILM.load(tokenizer, "embed")
    assert isinstance(engine, EmbedderEngine)
    print(f"{torch.get_num_threads()} thread(s); {ROUNDS} rounds, medians\n")
    print("| texts | tokens | lengths | encode texts/s | ours texts/s | encode / ours, rounds | padding efficiency |")
    print("|---|---|---|---|---|---|---|")
    distinct = mixed_texts()
    few = distinct[: -(-TEXTS // COPIES)]
    order = np.random.default_rng(1).permutation(len(few) * COPIES)
    repeated = [few[number % len(few)] for number in order]
    for name, texts in {"distinct": distinct, f"each {COPIES} times": repeated}.items():
        compare(name, texts, theirs, engine, tokenizer)


def mixed_texts() -> list[str]:
    """Distinct real texts in no order: abstracts, and sentences."""
    with (SHARED / "scifact" / "corpus.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    abstracts = [f"{row['title']} {row['text']}" for row in rows[:ABSTRACTS]]
    sentences = []
    for part in ("test", "dev"):
        with (SHARED / "stsb" / f"stsb-en-{part}.csv").open(encoding="utf-8", newline="") as file:
            sentences += [sentence for row in csv.reader(file) for sentence in row[:2]]
    texts = list(dict.fromkeys([*abstracts, *sentences]))[:TEXTS]
    assert len(texts) == TEXTS
    return [texts[number] for number in np.random.default_rng(0).permutation(TEXTS)]


def cut(tokens: list[int]) -> TokenIds:
    """At most max_model_len tokens, the last one kept, as `encode` cuts them."""
    return tokens if len(tokens) <= MINILM.max_model_len else [*tokens[: MINILM.max_model_len - 1], tokens[-1]]


def compare(name: str, texts: list[str], theirs: Any, engine: EmbedderEngine, tokenizer: Tokenizer) -> None:
    """One table row: both in turns."""
    encode, ours = [], []
    vectors: list[Any] = []

    def embed() -> None:
        vectors.append(engine.embed([cut(tokenizer.embedding_prompt(text)) for text in texts]).values)

    for _ in range(ROUNDS):
        ours.append(seconds(embed))
        encode.append(seconds(lambda: vectors.append(theirs.encode(texts))))
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)  # both answer the same question
    lengths = [len(tokens) for tokens in {text: cut(tokenizer.embedding_prompt(text)) for text in texts}.values()]
    ratios = ", ".join(f"{ratio:.2f}" for ratio in np.divide(encode, ours))
    print(
        f"| {name} ({len(texts)}) | {sum(lengths)} | {min(lengths)} to {max(lengths)} | "
        f"{len(texts) / np.median(encode):.0f} | {len(texts) / np.median(ours):.0f} | {ratios} | "
        f"{padding_efficiency(lengths, batches_of(lengths, BATCH_TOKENS)):.3f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
