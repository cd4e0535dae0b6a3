"""jobs.embed and jobs.retrieve with engine=sentence_transformers: the whole way, against the library."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import Job
from tests.engines.sentence_transformers.test_sentence_engine import (
    TEXTS,
    TOLERANCE,
    dense,
    library,
    pooled,
    save,
    unit,
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    path.write_text("id,text\n" + "".join(f"t{n},{text}\n" for n, text in enumerate(TEXTS)))
    return path


def vectors(run: Path) -> np.ndarray:
    result = pq.read_table(run / "result.parquet")
    assert result["error"].null_count == len(result)
    return np.stack(result["vector"].to_numpy())


def line(folder: Path, table: Path, run: Path, *more: str) -> list[str]:
    return ["engine=sentence_transformers", f"engine.model={folder}", "executor=inline", "data=table",
            f"data.path={table}", f"run.dir={run}", *more]  # fmt: skip


def test_a_dense_model_embeds_as_the_library_does(
    bert: Path,
    table: Path,
    tmp_path: Path,
    quick_job: Job,
) -> None:
    folder = save(tmp_path / "model", pooled(bert, "weightedmean", dense(16)), prompts={"query": "w9 "})
    quick_job("embed", *line(folder, table, tmp_path / "run"))
    theirs = library(folder)
    np.testing.assert_allclose(vectors(tmp_path / "run"), unit(theirs.encode_document(TEXTS)), atol=TOLERANCE)


def test_lengths_are_kept_and_ranked_by_dot_product(
    bert: Path,
    table: Path,
    tmp_path: Path,
    quick_job: Job,
) -> None:
    folder = save(tmp_path / "model", pooled(bert, "max", dense(16)), similarity_fn_name="dot")
    corpus, queries, found = (tmp_path / name for name in ("corpus", "queries", "found"))
    quick_job("embed", *line(folder, table, corpus))
    quick_job("embed", *line(folder, table, queries, "embed.role=query"))
    theirs = library(folder)
    expected = theirs.encode_document(TEXTS)
    np.testing.assert_allclose(vectors(corpus), expected, atol=TOLERANCE)
    assert not np.allclose(np.linalg.norm(expected, axis=1), 1, atol=0.1)
    quick_job("embed", *line(folder, table, tmp_path / "half", "embed.dimensions=8"))
    np.testing.assert_allclose(vectors(tmp_path / "half"), expected[:, :8], atol=TOLERANCE)
    search = [f"data.path={queries}/result.parquet", "data.columns.question=text", "retriever=exact",
              f"retriever.corpus={corpus}", "executor=inline", f"run.dir={found}"]  # fmt: skip
    refused = quick_job("retrieve", *search, code=2)
    assert "use retriever.similarity=dot" in refused.stderr
    quick_job("retrieve", *search, "retriever.similarity=dot", "retrieve.k=3")
    similarity = theirs.similarity(theirs.encode_query(TEXTS), expected).numpy()
    for row, own in zip(similarity, pq.read_table(found / "result.parquet").to_pylist(), strict=True):
        best = np.lexsort((np.arange(len(row)), -row))[:3]
        np.testing.assert_allclose(own["scores"], row[best], rtol=1e-4)


def test_a_job_that_it_can_not_do_is_refused(table: Path, tmp_path: Path, quick_job: Job) -> None:
    done = quick_job("generate", *line(tmp_path, table, tmp_path / "run", "prompt=instruct"), code=2)
    assert "use a transformers or vLLM engine" in done.stderr
    done = quick_job("embed", "engine=sentence_transformers", "data=table", f"data.path={table}", code=2)
    assert "engine.model: must be given" in done.stderr
