"""Approximate search: its recall against exact search, and that it is the same on every worker."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lib.engines.retrieval.corpus import Corpus
from lib.engines.retrieval.exact import ExactConfig
from lib.engines.retrieval.faiss_index import FaissConfig, FaissRanker
from lib.engines.retrieval.retriever import Similarity
from lib.errors import ConfigError, EngineError
from tests.engines.retrieval.conftest import Write, ids, load, unit

ROWS, WIDTH = 3000, 16


@pytest.fixture
def corpus(write: Write) -> str:
    return write([f"text {n}" for n in range(ROWS)], unit(ROWS, WIDTH), row_group_size=500)


def test_a_flat_index_is_exact(corpus: str) -> None:
    queries = unit(20, WIDTH, seed=1)
    ours = load(FaissConfig(corpus=corpus, factory="Flat", recall_sample=0)).search(["?"] * 20, queries, 10)
    exact = load(ExactConfig(corpus=corpus)).search(["?"] * 20, queries, 10)
    assert list(map(ids, ours.passages)) == list(map(ids, exact.passages))


def test_lengths_count_where_that_is_said(write: Write) -> None:
    vectors = unit(300, WIDTH) * np.random.default_rng(2).uniform(0.1, 20, (300, 1)).astype(np.float32)
    queries = 3 * unit(5, WIDTH, seed=1)
    settings = {"corpus": write(["x"] * 300, vectors), "similarity": Similarity.dot}
    found = load(FaissConfig(**settings, factory="Flat", recall_sample=5)).search(["?"] * 5, queries, 10)
    best = np.argsort(-(queries.astype(np.float64) @ vectors.astype(np.float64).T), axis=1)[:, :10]
    assert list(map(ids, found.passages)) == [[f"p{row}" for row in rows] for rows in best]


def test_recall_is_measured_against_exact_search(corpus: str, said: pytest.LogCaptureFixture) -> None:
    queries = unit(50, WIDTH, seed=1)
    exact = load(ExactConfig(corpus=corpus)).search(["?"] * 50, queries, 10)
    recalls = []
    for config in (
        FaissConfig(corpus=corpus, factory="IVF32,Flat", nprobe=1, recall_sample=50),
        FaissConfig(corpus=corpus, factory="IVF32,Flat", nprobe=32, recall_sample=50),
        FaissConfig(corpus=corpus, factory="HNSW32", ef_search=256, recall_sample=50),
    ):
        said.clear()
        engine = load(config)
        found = engine.search(["?"] * 50, queries, 10)
        engine.search(["?"] * 50, queries, 10)
        recall = np.mean([len({*ids(a)} & {*ids(b)}) / 10 for a, b in zip(found.passages, exact.passages, strict=True)])
        assert [record.message for record in said.records] == [
            f"recall@10 of the index against exact search, over 50 queries: {recall:.4f}"
        ]
        recalls.append(recall)
    assert recalls[0] < 0.8
    assert recalls[1] == 1
    assert recalls[2] > 0.95


def test_rows_with_an_error_are_left_out(write: Write) -> None:
    errors = pa.array(["broken" if n % 2 else None for n in range(100)], pa.string())
    vectors = unit(100, WIDTH)
    engine = load(FaissConfig(corpus=write(["x"] * 100, vectors, error=errors), factory="Flat"))
    found = engine.search(["?"], vectors[4:5], 100)
    assert found.passages[0][0].id == "p4"
    assert {int(name[1:]) % 2 for name in ids(found.passages[0])} == {0}


def test_every_worker_builds_the_same_index_and_a_folder_keeps_it(corpus: str, tmp_path: Path) -> None:
    import faiss

    opened = Corpus(corpus, vectors=True)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(4)
    one, two = (FaissRanker(opened, FaissConfig(corpus=corpus)) for _ in range(2))
    assert faiss.omp_get_max_threads() == 4
    faiss.omp_set_num_threads(threads)
    assert faiss.serialize_index(one._index).tobytes() == faiss.serialize_index(two._index).tobytes()
    assert one.memory == ROWS * WIDTH * 4
    config = FaissConfig(corpus=corpus, factory="IVF8,Flat", folder=str(tmp_path / "kept"))
    queries = unit(5, WIDTH, seed=2)
    first = load(config).search(["?"] * 5, queries, 5)
    (kept,) = (tmp_path / "kept").iterdir()
    written = kept.stat().st_mtime_ns
    again = load(config).search(["?"] * 5, queries, 5)
    assert again.passages == first.passages
    assert kept.stat().st_mtime_ns == written
    load(FaissConfig(corpus=corpus, factory="Flat", folder=str(tmp_path / "kept")))
    assert len(list((tmp_path / "kept").iterdir())) == 2
    whole = kept.read_bytes()
    for damaged in (b"", b"nothing", whole[:-1], whole[:200] + bytes([whole[200] ^ 8]) + whole[201:]):
        kept.write_bytes(damaged)
        with pytest.raises(EngineError, match="delete it, and it is built again"):
            load(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factory": "HNSWx"}, "factory=HNSWx: not an index for vectors of 16"),
        ({"factory": "PQ7"}, "multiple of the number of subquantizers"),
        ({"nprobe": 3}, "nprobe=3: an index HNSW32 has no such setting"),
        ({"factory": "IVF8,Flat", "ef_search": 3}, "ef_search=3: an index IVF8,Flat has no such setting"),
    ],
)
def test_impossible_indexes_are_refused_before_a_run(corpus: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FaissConfig(corpus=corpus, **changes).check("search")  # type: ignore[arg-type]


def test_too_few_passages_to_train_on(write: Write) -> None:
    with pytest.raises(ConfigError, match="can't be trained on the 5 passages"):
        load(FaissConfig(corpus=write(["x"] * 5, unit(5, WIDTH)), factory="IVF64,Flat"))


@pytest.mark.parametrize("bad", [{"nprobe": 0}, {"ef_search": 0}, {"recall_sample": -1}])
def test_bad_settings_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"retriever.{next(iter(bad))}"):
        FaissConfig(corpus="x", **bad)  # type: ignore[arg-type]
