"""Documents through jobs.chunk, jobs.retrieve and jobs.rag: names, places, sentences, cuts."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import Job

RAG = ["engine@embedder=dummy", "engine@generator=dummy", "generator.max_model_len=4096", "embedder.max_model_len=512"]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    for year, fee, place in ((2025, "千", "東京"), (2026, "五百", "大阪")):
        (tmp_path / f"docs/{year}").mkdir(parents=True)
        text = f"料金は{fee}円です。締切は三月です。会場は{place}です。"
        (tmp_path / f"docs/{year}/notice.txt").write_text(text, encoding="utf-8")
    return tmp_path / "docs"


@pytest.mark.parametrize("path", ["docs", "docs/*/notice.txt", "docs/2*/*"])
def test_windows_stay_in_documents_of_one_file_name(path: str, documents: Path, quick_job: Job) -> None:
    root = documents.parent
    (root / "q.csv").write_text("id,text\n1,料金は\n", encoding="utf-8")
    quick_job("chunk", f"data.path='{root}/{path}'", f"run.dir={root}/chunks")
    asked = [f"data.path={root}/q.csv", "retriever=bm25_ja", "retriever.window=1", f"retriever.corpus={root}/chunks"]
    quick_job("retrieve", *asked, f"run.dir={root}/found")
    (row,) = pq.read_table(root / "found/result.parquet").to_pylist()
    assert {"2025/notice.txt", "2026/notice.txt"} == set(row["documents"])
    for name, text, start, stop in zip(row["documents"], row["passages"], row["starts"], row["stops"], strict=True):
        assert (documents / name).read_text(encoding="utf-8")[start:stop] == text


def test_other_names_are_another_run(documents: Path, quick_job: Job, tmp_path: Path) -> None:
    line = [f"data.path={documents}", f"run.root={tmp_path}/runs"]
    quick_job("chunk", *line)
    (documents / "2026/notice.txt").rename(documents / "2026/other.txt")
    quick_job("chunk", *line)
    names = [set(pq.read_table(path)["document"].to_pylist()) for path in tmp_path.glob("runs/*/result.parquet")]
    assert sorted(map(sorted, names)) == [["2025/notice.txt", "2026/notice.txt"], ["2025/notice.txt", "2026/other.txt"]]


def test_repeated_ids_are_refused_with_their_rows(tmp_path: Path, quick_job: Job) -> None:
    rows = [{"id": "x", "text": "a. "}, {"id": "y", "text": "b"}, {"id": "x", "text": "   c"}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = quick_job("chunk", f"data.path={tmp_path}/t.jsonl", f"run.root={tmp_path}", code=2)
    assert "t.jsonl row 0" in done.stderr
    assert "t.jsonl row 2" in done.stderr


def test_a_delimiter_that_never_occurs_is_told(tmp_path: Path, quick_job: Job) -> None:
    (tmp_path / "e.txt").write_text("It rains. It stops. " * 60)
    line = [f"data.path={tmp_path}/e.txt", f"run.root={tmp_path}"]
    done = quick_job("chunk", *line, "chunk.by=delimiter")
    assert "chunk.by=delimiter '。': 1 of 1 documents have none, such as e.txt" in done.stderr
    assert "have none" not in quick_job("chunk", *line).stderr


def test_rag_defaults_find_every_english_sentence(shared: Path, tmp_path: Path, quick_job: Job) -> None:
    english = shared.parent / "cases" / "english.txt"
    (tmp_path / "q.csv").write_text("id,question\n1,Which river stands at 100 centimetres?\n")
    line = [f"data.path={tmp_path}/q.csv", f"documents.path={english}", *RAG, f"run.root={tmp_path}"]
    done = quick_job("rag", *line)
    (chunked,) = tmp_path.glob("rag-*/chunk-*/result.parquet")
    chunks = pq.read_table(chunked)["text"].to_pylist()
    assert len(chunks) == english.read_text().count(".")
    assert all(chunk.endswith(".") for chunk in chunks)
    assert "".join(english.read_text().split()) == "".join("".join(chunks).split())
    assert "none of 1 rows" in done.stdout
    assert "stage" in done.stdout
    assert "is Japanese" not in done.stderr
    done = quick_job("rag", *line, "prompt=answer_with_passages_ja", "embedder.max_model_len=40")
    assert "prompt is Japanese, but most questions have no kana" in done.stderr
    assert "tokens in all" in done.stdout, "what was cut is told"
