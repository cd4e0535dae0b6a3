"""Exact search against argsort over all scores."""

import numpy as np
import pytest

from lib.engines.retrieval.bm25 import Bm25Config
from lib.engines.retrieval.exact import ExactConfig
from lib.engines.retrieval.retriever import Similarity
from lib.engines.retrieval.topk import TopK
from lib.engines.retrieval.words import Language
from lib.errors import ConfigError, InputError
from tests.engines.retrieval.conftest import Write, ids, load, unit

WIDTH = 24


def oracle(queries: np.ndarray, corpus: np.ndarray, k: int) -> list[list[int]]:
    """Rows by float64 cosine; equal ones by row."""
    scores = queries.astype(np.float64) @ corpus.astype(np.float64).T
    return [np.lexsort((np.arange(len(corpus)), -row))[:k].tolist() for row in scores]


@pytest.mark.parametrize("block_rows", [1, 5, 64, 8192])
def test_finds_what_argsort_finds_whatever_the_block(write: Write, block_rows: int) -> None:
    corpus, queries = unit(200, WIDTH), unit(9, WIDTH, seed=1)
    path = write([f"text {n}" for n in range(200)], corpus)
    engine = load(ExactConfig(corpus=path, block_rows=block_rows))
    found = engine.search(["?"] * 9, queries, 10)
    assert [ids(row) for row in found.passages] == [[f"p{n}" for n in row] for row in oracle(queries, corpus, 10)]
    best = found.passages[0][0]
    row = int(best.id[1:])
    assert best.text == f"text {row}"
    assert best.score == pytest.approx(float(queries[0] @ corpus[row]), abs=1e-6)
    assert best.document is None
    assert best.start is None


@pytest.mark.parametrize("block_rows", [3, 64, 8192])
def test_lengths_count_where_that_is_said(write: Write, block_rows: int) -> None:
    rng = np.random.default_rng(5)
    corpus = unit(400, WIDTH) * rng.uniform(0.01, 300, (400, 1)).astype(np.float32)
    queries = unit(7, WIDTH, seed=1) * rng.uniform(0.1, 50, (7, 1)).astype(np.float32)
    path = write([f"text {n}" for n in range(400)], corpus)
    config = ExactConfig(corpus=path, block_rows=block_rows, similarity=Similarity.dot)
    config.check("search")
    found = load(config).search(["?"] * 7, queries, 10)
    assert [ids(row) for row in found.passages] == [[f"p{n}" for n in row] for row in oracle(queries, corpus, 10)]
    with pytest.raises(InputError, match=r"row 0, column vector: has length .*use retriever\.similarity=dot"):
        ExactConfig(corpus=path).check("search")
    corpus[3, 0] = np.inf
    with pytest.raises(InputError, match="row 3, column vector: contains NaN or infinity"):
        ExactConfig(corpus=write(["x"] * 400, corpus), similarity=Similarity.dot).check("search")


def test_a_similarity_that_can_not_be_meant_is_refused() -> None:
    ExactConfig(similarity=Similarity.dot).check_similarity(unit=False)
    ExactConfig().check_similarity(unit=True)
    with pytest.raises(ConfigError, match=r"their lengths count; use retriever\.similarity=dot"):
        ExactConfig().check_similarity(unit=False)
    Bm25Config(language=Language.en).check_similarity(unit=False)  # words have no lengths
    with pytest.raises(ConfigError, match=r"retriever\.similarity=dot: has no effect on a search by words"):
        Bm25Config(language=Language.en, similarity=Similarity.dot)


def test_the_error_of_a_product_grows_with_lengths() -> None:
    """Of two rows that a product in float32 can't tell apart, the better one is found."""
    rng = np.random.default_rng(0)
    query = (rng.standard_normal((30, 512)) * 1000).astype(np.float32)
    near = np.repeat((rng.standard_normal((1, 512)) * 1000).astype(np.float32), 2000, axis=0)
    near += rng.standard_normal((2000, 512)).astype(np.float32) * 1e-3
    best = TopK(query, 5, unit=False)
    best.add(np.arange(2000), near)
    for asked, ranking in zip(query, best.rankings(), strict=True):
        scores = np.vecdot(asked, near)
        assert ranking.rows.tolist() == np.lexsort((np.arange(2000), -scores))[:5].tolist()


def test_equal_vectors_come_in_the_order_of_the_corpus(write: Write) -> None:
    rng = np.random.default_rng(3)
    few = unit(4, WIDTH)
    which = rng.integers(0, 4, 3000)  # each direction some 750 times, all over the blocks
    queries = unit(5, WIDTH, seed=1)
    engine = load(ExactConfig(corpus=write(["x"] * 3000, few[which], row_group_size=100), block_rows=37))
    for query, passages in zip(queries, engine.search(["?"] * 5, queries, 900).passages, strict=True):
        order = np.argsort(-(few @ query))
        expected = np.concatenate([np.flatnonzero(which == place) for place in order])[:900]
        assert ids(passages) == [f"p{row}" for row in expected]
        assert len({passage.score for passage in passages}) <= 2


def test_scores_depend_neither_on_blocks_nor_on_the_other_queries() -> None:
    corpus, queries = unit(5000, 384), unit(40, 384, seed=1)

    def search(asked: np.ndarray, size: int) -> list[tuple[list[int], list[float]]]:
        best = TopK(asked, 20)
        for start in range(0, 5000, size):
            block = corpus[start : start + size]
            best.add(np.arange(start, start + len(block)), block)
        return [(ranking.rows.tolist(), ranking.scores.tolist()) for ranking in best.rankings()]

    together = search(queries, 5000)
    assert search(queries, 17) == together
    assert [search(query[None], 999)[0] for query in queries] == together


@pytest.mark.parametrize("order", [1, -1])
def test_the_best_may_come_last_or_first(order: int) -> None:
    rows = 60_000  # several matrix products
    angles = np.linspace(1.5, 0.1, rows)[::order]
    corpus = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    query = np.array([[1, 0]], np.float32)
    best = TopK(np.repeat(query, 300, axis=0), 3)
    for start in range(0, rows, 20_000):
        best.add(np.arange(start, start + 20_000), corpus[start : start + 20_000])
    expected = oracle(query, corpus, 3)[0]
    assert all(ranking.rows.tolist() == expected for ranking in best.rankings())


def test_a_little_better_is_better() -> None:
    """By less than what a matrix product of this width may be wrong."""
    cosines = np.linspace(0.5, 0.50002, 100)
    corpus = np.zeros((100, 384), np.float32)
    corpus[:, 0], corpus[:, 1] = cosines, np.sqrt(1 - cosines**2)
    query = np.eye(1, 384, dtype=np.float32)
    best = TopK(query, 3)
    for start in range(0, 100, 10):
        best.add(np.arange(start, start + 10), corpus[start : start + 10])
    assert best.rankings()[0].rows.tolist() == [99, 98, 97]


def test_k_above_the_corpus_is_used_as_far_as_it_goes_and_said_once(
    write: Write, said: pytest.LogCaptureFixture
) -> None:
    engine = load(ExactConfig(corpus=write(["a", "b", "c"], unit(3, WIDTH))))
    for _ in range(2):
        assert len(engine.search(["?"], unit(1, WIDTH), 5).passages[0]) == 3
    assert [record.message for record in said.records] == [
        "k=5, but the corpus has only 3 passages: all of them are ranked"
    ]
    assert engine.search([], unit(0, WIDTH), 5).passages == []


def test_rows_with_an_error_are_left_out_and_null_ids_are_row_numbers(write: Write) -> None:
    import pyarrow as pa

    corpus = unit(30, WIDTH)
    errors = pa.array(["broken" if n % 3 == 0 else None for n in range(30)], pa.string())
    texts = [None if n % 3 == 0 else "fine" for n in range(30)]
    names = pa.array([None] * 30, pa.string())
    spoiled = np.where(np.arange(30)[:, None] % 3 == 0, np.nan, corpus)
    engine = load(ExactConfig(corpus=write(texts, spoiled, error=errors, id=names), block_rows=4))
    expected = [str(row) for row in oracle(corpus[:1], corpus, 30)[0] if row % 3]
    assert ids(engine.search(["?"], corpus[:1], 30).passages[0]) == expected


def test_queries_need_vectors_of_the_same_width(write: Write) -> None:
    config = ExactConfig(corpus=write(["a"], unit(1, WIDTH)))
    engine = load(config)
    assert config.needs_vectors
    with pytest.raises(ConfigError, match=r"jobs\.embed"):
        engine.search(["?"], None, 1)
    with pytest.raises(ConfigError, match=r"have 12 numbers, those of .* have 24"):
        engine.search(["?"], unit(1, 12), 1)
    with pytest.raises(InputError, match="row 1, column vector: contains NaN"):
        engine.search(["?"] * 2, np.stack([unit(1, WIDTH)[0], np.full(WIDTH, np.nan, np.float32)]), 1)


def test_the_content_is_the_identity_not_the_place(write: Write) -> None:
    vectors = unit(5, WIDTH)
    first, copy = write(["a"] * 5, vectors), write(["a"] * 5, vectors, name="copy.parquet")
    other = write(["b"] * 5, vectors, name="other.parquet")
    assert ExactConfig(corpus=first).identity() == ExactConfig(corpus=copy).identity()
    assert ExactConfig(corpus=first).identity() != ExactConfig(corpus=other).identity()


def test_windows_bring_neighbours_of_the_same_document(write: Write) -> None:
    import pyarrow as pa

    vectors = np.eye(10, dtype=np.float32)
    path = write(
        [f"s{n}" for n in range(10)],
        vectors,
        row_group_size=3,
        document=pa.array(["one"] * 6 + ["two"] * 4),
        start=pa.array([n * 10 for n in range(10)], pa.int64()),
        stop=pa.array([n * 10 + 5 for n in range(10)], pa.int64()),
    )
    query = np.zeros((1, 10), np.float32)
    query[0, [5, 1, 9]] = [0.8, 0.5, np.sqrt(0.11)]

    def search(**changes: object) -> list[tuple[str, str, int | None, int | None]]:
        engine = load(ExactConfig(corpus=path, **changes))  # type: ignore[arg-type]
        return [(p.id, p.text, p.start, p.stop) for p in engine.search(["?"], query, 3).passages[0]]

    assert search(window=1) == [("p4", "s4。s5", 40, 55), ("p0", "s0。s1。s2", 0, 25), ("p8", "s8。s9", 80, 95)]
    assert search(window=2, window_joint=" ")[:2] == [("p0", "s0 s1 s2 s3 s4 s5", 0, 55), ("p7", "s7 s8 s9", 70, 95)]
    assert search(window=2, window_legacy=True)[:2] == [("p3", "s3。s4。s5", 30, 55), ("p0", "s0。s1。s2", 0, 25)]
    with pytest.raises(ConfigError, match="no column document"):
        load(ExactConfig(corpus=write(["a"], unit(1, WIDTH), name="bare.parquet"), window=1))


@pytest.mark.parametrize("bad", [{"block_rows": 0}, {"window": -1}, {"window_legacy": True}])
def test_bad_settings_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"retriever.{next(iter(bad))}"):
        ExactConfig(corpus="x", **bad)  # type: ignore[arg-type]
