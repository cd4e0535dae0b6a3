from pathlib import Path

import pyarrow as pa
import pytest

from lib.data import parquet
from lib.errors import InputError
from lib.report.retrieval_page import measure_retrieval


def result(folder: Path, ids: list[str | None], rows: list[int]) -> Path:
    passages = [["d1", "d2"]] * len(ids)
    path = folder / "result.parquet"
    parquet.write(pa.table({"id": pa.array(ids, pa.string()), "row": rows, "passage_ids": passages}), path)
    return path


def test_a_judged_query_without_results_counts_as_zero(tmp_path: Path) -> None:
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\n0\td1\t1\n1\td1\t1\n2\td1\t1\n")
    found = measure_retrieval(result(tmp_path, [None, None], [0, 1]), str(qrels), 5)
    assert (found.means["ndcg@5"], found.empty) == (pytest.approx(2 / 3), 1)


def test_queries_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\n0\td1\t1\n")
    with pytest.raises(InputError, match="1 queries without ids have the row numbers of others"):
        measure_retrieval(result(tmp_path, [None, None], [0, 0]), str(qrels), 5)
    with pytest.raises(InputError, match="judges no query"):
        measure_retrieval(result(tmp_path, ["x"], [0]), str(qrels), 5)


def test_judged_documents_are_found_by_their_passages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, qrels = tmp_path / "result.parquet", tmp_path / "qrels.tsv"
    rows = {"id": ["q1", "q2"], "row": [0, 1], "passage_ids": [["a:0-9", "a:9-20", "b:0-5"], None],
            "documents": [["a", "a", "b"], None]}  # fmt: skip
    parquet.write(pa.table(rows), path)
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\tb\t1\nq2\ta\t1\n")
    found = measure_retrieval(path, str(qrels), 10)
    assert (found.means["mrr@10"], found.empty) == (0.25, 1)  # b is the second document of q1, and q2 found none
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\tb.txt\t1\n")
    with caplog.at_level("WARNING", "overnight"):
        assert measure_retrieval(path, str(qrels), 10).means["mrr@10"] == 0
    assert "passages are called as a:0-9, judged ones as b.txt" in caplog.text
