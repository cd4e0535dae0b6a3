"""Reciprocal-rank fusion against sums worked out by hand."""

import numpy as np
import pytest

from lib.engines.retrieval.bm25 import Bm25Config
from lib.engines.retrieval.exact import ExactConfig
from lib.engines.retrieval.hybrid import HybridConfig, fuse
from lib.engines.retrieval.ranking import Ranking
from lib.engines.retrieval.words import Language
from lib.errors import ConfigError
from tests.engines.retrieval.conftest import Write, ids, load, unit


def ranking(*rows: int) -> Ranking:
    return Ranking(np.array(rows, np.int64), np.linspace(1, 0.5, len(rows), dtype=np.float32))


def test_fusion_by_hand() -> None:
    fused = fuse([ranking(4, 7, 1), ranking(7, 9)], [1, 1], 60, 10)
    assert fused.rows.tolist() == [7, 4, 9, 1]
    assert fused.scores.tolist() == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62, 1 / 63], abs=1e-15)
    assert fuse([ranking(4, 7, 1), ranking(7, 9)], [1, 1], 60, 2).rows.tolist() == [7, 4]


def test_equal_sums_come_in_the_order_of_the_corpus() -> None:
    assert fuse([ranking(8, 3), ranking(3, 8)], [1, 1], 60, 2).rows.tolist() == [3, 8]
    assert fuse([ranking(8, 2), ranking(5, 1)], [1, 1], 60, 4).rows.tolist() == [5, 8, 1, 2]


def test_weights() -> None:
    assert fuse([ranking(8), ranking(3)], [2, 1], 60, 2).rows.tolist() == [8, 3]
    assert fuse([ranking(8), ranking(3)], [0, 1], 60, 2).rows.tolist() == [3]
    assert fuse([ranking(), ranking()], [1, 1], 60, 2).rows.tolist() == []


def test_fuses_what_the_two_find(write: Write) -> None:
    texts = [f"{'cat' if n % 5 == 0 else 'dog'} number{n}" for n in range(50)]
    path, queries, vectors = write(texts, unit(50, 8)), ["cat number3", "zebra"], unit(2, 8, seed=1)
    config = HybridConfig(corpus=path, language=Language.en, depth=12)
    assert config.needs_vectors
    found = load(config).search(queries, vectors, 6)
    exact = load(ExactConfig(corpus=path)).search(queries, vectors, 12)
    words = load(Bm25Config(corpus=path, language=Language.en)).search(queries, vectors, 12)
    for fused, one, other in zip(found.passages, exact.passages, words.passages, strict=True):
        sums: dict[str, float] = {}
        for passages in (one, other):
            for rank, passage in enumerate(passages, 1):
                sums[passage.id] = sums.get(passage.id, 0) + 1 / (60 + rank)
        assert ids(fused) == sorted(sums, key=lambda name: (-sums[name], int(name[1:])))[:6]
        assert [passage.score for passage in fused] == pytest.approx([sums[passage.id] for passage in fused])
    assert ids(found.passages[1]) == ids(exact.passages[1])[:6]  # no word is known: the vectors alone


def test_depth_follows_k(write: Write) -> None:
    path = write(["cat"] * 30, unit(30, 8))
    engine = load(HybridConfig(corpus=path, language=Language.en, depth=1))
    assert len(engine.search(["cat"], unit(1, 8), 30).passages[0]) == 30


@pytest.mark.parametrize("bad", [{"k_rrf": -1.0}, {"depth": 0}, {"weights": [1.0]}, {"weights": [0.0, 0.0]}])
def test_bad_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"retriever.{next(iter(bad))}"):
        HybridConfig(corpus="x", language=Language.en, **bad)  # type: ignore[arg-type]
