"""BM25 against the formula, written out."""

import math
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from lib.engines.retrieval.bm25 import Bm25Config, Method
from lib.engines.retrieval.words import Language, splitter
from lib.errors import ConfigError
from tests.conftest import ROOT
from tests.engines.retrieval.conftest import Write, ids, load

TEXTS = [
    "The cat sat on the mat.",
    "A dog and a cat; the cat slept.",
    "Dogs bark at night",
    "Nothing here concerns animals, or so it seems to everybody who reads it",
    "cat cat cat cat cat",
    "the of and",
    "Night falls. Night owls hunt at NIGHT, and a cat watches",
    "A dog and a cat; the cat slept.",
]
STOP = {"a", "and", "at", "it", "of", "on", "or", "the", "to"}
QUERIES = ["cat at night", "the dog's night", "cat cat dog", "animals"]


def words(text: str) -> list[str]:
    return [word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in STOP]


def formula(query: str, k1: float, b: float, method: Method) -> dict[int, float]:
    """Kamphuis et al. 2020, table 1, row by row; rows without a word of the query are left out."""
    passages = [words(text) for text in TEXTS]
    mean, count = float(np.mean([len(p) for p in passages])), len(passages)
    scores = {}
    for row, passage in enumerate(passages):
        frequency, norm = Counter(passage), k1 * (1 - b + b * len(passage) / mean)
        total = 0.0
        for word in words(query):
            df = sum(word in p for p in passages)
            if not frequency[word]:
                continue
            if method is Method.lucene:
                idf, tf = math.log(1 + (count - df + 0.5) / (df + 0.5)), frequency[word] / (frequency[word] + norm)
            elif method is Method.atire:
                idf, tf = math.log(count / df), (k1 + 1) * frequency[word] / (frequency[word] + norm)
            else:
                idf = max(math.log((count - df + 0.5) / (df + 0.5)), 0)
                tf = frequency[word] / (frequency[word] + norm)
            total += idf * tf
        if total > 0:
            scores[row] = total
    return scores


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4), (2.0, 0.0)])
def test_is_the_formula(write: Write, method: Method, k1: float, b: float) -> None:
    engine = load(Bm25Config(corpus=write(TEXTS), language=Language.en, k1=k1, b=b, method=method))
    assert engine.memory > 0
    found = engine.search(QUERIES, None, 100)
    assert not found.errors
    assert any(found.passages)
    for query, passages in zip(QUERIES, found.passages, strict=True):
        expected = formula(query, k1, b, method)
        order = sorted(expected, key=lambda row: (-round(expected[row], 5), row))
        assert ids(passages) == [f"p{row}" for row in order]
        assert [p.score for p in passages] == pytest.approx([expected[row] for row in order], abs=1e-5)


def test_equal_passages_come_in_the_order_of_the_corpus(write: Write) -> None:
    engine = load(Bm25Config(corpus=write(["cat", "dog"] * 500), language=Language.en))
    assert ids(engine.search(["cat"], None, 20).passages[0]) == [f"p{row}" for row in range(0, 40, 2)]


def test_unknown_words_find_nothing(write: Write) -> None:
    engine = load(Bm25Config(corpus=write(TEXTS), language=Language.en))
    found = engine.search(["zebra", "", "the", "cat"], None, 3)
    assert [len(passages) for passages in found.passages] == [0, 0, 0, 3]
    assert not found.errors
    assert engine.search(["zebra"], None, 3).passages == [[]]


def test_rows_with_an_error_do_not_count(write: Write) -> None:
    errors = pa.array(["broken"] + [None] * 8, pa.string())
    with_error = load(Bm25Config(corpus=write([None, *TEXTS], error=errors), language=Language.en))
    without = load(Bm25Config(corpus=write(TEXTS, name="other.parquet"), language=Language.en))
    for query in QUERIES:
        a, b = (engine.search([query], None, 9).passages[0] for engine in (with_error, without))
        assert [(p.id, p.text, p.score) for p in a] == [(f"p{int(p.id[1:]) + 1}", p.text, p.score) for p in b]


def test_japanese_words_are_compared_in_their_dictionary_form(write: Write) -> None:
    texts = [
        "彼は毎朝公園を走った。",
        "昨日は本を読みました。",
        "推論時に計算を増やすと性能が上がる。",
        "ＬＬＭの学習",
    ]
    config = Bm25Config(corpus=write(texts), language=Language.ja)
    assert not config.needs_vectors
    engine = load(config)

    def first(query: str) -> str:
        return engine.search([query], None, 1).passages[0][0].text

    assert first("走る人") == texts[0]
    assert first("本を読んでいる") == texts[1]
    assert first("計算を増やした") == texts[2]
    assert first("LLM とは？") == texts[3]
    assert engine.search(["はをに。"], None, 4).passages == [[]]  # particles and symbols say nothing


def test_words() -> None:
    english, japanese = splitter(Language.en), splitter(Language.ja)
    assert english("The Ｖｉｔａｍｉｎ C's naïve\neffect—on T-cells_2") == [
        "vitamin", "c", "s", "naïve", "effect", "t", "cells_2"
    ]  # fmt: skip
    assert japanese("走った。\n食べます\t\0「LLM」は") == ["走る", "食べる", "llm"]
    assert japanese("") == japanese("。！") == english(" ?") == []


@pytest.mark.parametrize("bad", [{"k1": -1.0}, {"b": 1.5}])
def test_bad_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"retriever.{next(iter(bad))}"):
        Bm25Config(corpus="x", language=Language.en, **bad)  # type: ignore[arg-type]


def test_numba_stays_out_of_the_process() -> None:
    program = (
        "import sys; from lib.engines.retrieval.library import bm25s; bm25s().BM25(backend='numpy'); "
        "assert 'numba' not in sys.modules and 'llvmlite' not in sys.modules; import numba"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
