"""Exact search from Parquet beside a single matrix product in memory.

By hand: `python -m tests.bench.exact_search [ROWS]`. The best 100 of 1,000,000 vectors of 384 for each of 1,000
queries. Ours reads them block by block from Parquet (zstd, row groups of 1,024, as jobs.embed writes them; 2 GB, made
in a temporary folder) and keeps the best. The product has queries and vectors in memory (1.5 GB), and makes all scores
(4 GB) and nothing else. In turns, numpy's threads on both sides. Memory: what a side needs at its peak above what was
there before it.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lib.engines.retrieval.corpus import Corpus
from lib.engines.retrieval.exact import ExactConfig, ExactRanker
from lib.engines.retrieval.retriever import CorpusEngine
from tests.bench.measure import cost

ROWS, QUERIES, WIDTH, BEST = 1_000_000, 1_000, 384, 100
GROUP = 1024
ROUNDS = 3
SCHEMA = pa.schema({"id": pa.string(), "text": pa.string(), "vector": pa.list_(pa.float32(), WIDTH)})


def main(rows: int = ROWS) -> None:
    """Measure, and print a table in Markdown."""
    queries = unit(QUERIES, -1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.parquet"
        write(path, rows)
        print(f"{rows:,} × {WIDTH} vectors, {path.stat().st_size / 1e9:.2f} GB of Parquet; {ROUNDS} rounds, medians\n")
        corpus = Corpus(str(path), vectors=True)
        ranker = ExactRanker(corpus)
        engine = CorpusEngine(corpus, ranker, ExactConfig(corpus=str(path)))
        texts = ["?"] * QUERIES
        sides = {
            "numpy, one product": lambda vectors: queries @ vectors.T,
            "ours, ranks": lambda _: ranker.rank(texts, queries, BEST),
            "ours, ranks and texts": lambda _: engine.search(texts, queries, BEST),
        }
        costs: dict[str, list[tuple[float, int]]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, work in sides.items():
                vectors = whole(corpus) if name.startswith("numpy") else None
                costs[name].append(cost(partial(work, vectors)))
                del vectors
        require_same(ranker.rank(texts[:20], queries[:20], BEST), queries[:20] @ whole(corpus).T)
    print("| side | seconds | ours / numpy | memory, MB |\n|---|---|---|---|")
    base = [taken for taken, _ in costs["numpy, one product"]]
    for name, measured in costs.items():
        seconds = [taken for taken, _ in measured]
        print(
            f"| {name} | {np.median(seconds):.2f} ({' '.join(f'{s:.2f}' for s in seconds)}) | "
            f"{np.median(np.divide(seconds, base)):.2f} | {max(memory for _, memory in measured) / 1e6:,.0f} |"
        )


def unit(rows: int, seed: int) -> npt.NDArray[np.float32]:
    """Random directions; seed: -1 for the queries, else the first row of a block."""
    vectors = np.random.default_rng(seed + 1).standard_normal((rows, WIDTH), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write(path: Path, rows: int) -> None:
    """A corpus of random directions."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for start in range(0, rows, GROUP):
            block = unit(min(GROUP, rows - start), start)
            names = pa.array([f"passage {start + n}" for n in range(len(block))])
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), WIDTH)
            writer.write_table(pa.table([names, names, vectors], schema=SCHEMA))


def whole(corpus: Corpus) -> npt.NDArray[np.float32]:
    """All vectors of a corpus in memory."""
    vectors = np.empty((corpus.rows, corpus.width), np.float32)
    for rows, block in corpus.blocks(GROUP):
        vectors[rows] = block
    return vectors


def require_same(rankings: list[Any], scores: npt.NDArray[np.float32]) -> None:
    """Both sides answer the same question: the same scores, and the same rows but for those within a rounding error."""
    for ranking, row in zip(rankings, scores, strict=True):
        np.testing.assert_allclose(ranking.scores, np.sort(row)[::-1][: len(ranking.scores)], atol=1e-6)
        assert len({*ranking.rows.tolist()} & {*np.argsort(-row)[:BEST].tolist()}) >= BEST - 1


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
