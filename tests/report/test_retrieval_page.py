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
