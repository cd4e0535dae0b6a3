"""Questions asked of a web search, in this process, of a server of our own."""

from pathlib import Path

import pyarrow.parquet as pq

from tests.conftest import Job
from tests.engines.retrieval.test_web import Server, mojeek, server  # noqa: F401


def test_web_rag_asks_each_question_once(tmp_path: Path, quick_job: Job, server: Server) -> None:  # noqa: F811
    server.answer = lambda query, _: mojeek([(f"https://example.org/{query[:4]}", "A title", "A snippet")])
    (tmp_path / "questions.csv").write_text("id,question\na,what is a dragon?\nb,who wrote it?\n")
    line = [
        "experiment=web_rag", f"data.path={tmp_path}/questions.csv", f"run.root={tmp_path}/runs",
        "engine@generator=dummy", "generator.max_model_len=4096", "retriever.requests_per_second=100",
        "retriever.backend=mojeek", f"retriever.base_url=http://127.0.0.1:{server.server_port}",
    ]  # fmt: skip
    quick_job("rag", *line)
    (folder,) = (tmp_path / "runs" / "rag-web").glob("generate-*")
    rows = pq.read_table(folder / "result.parquet").to_pylist()
    assert [row["passages"] for row in rows] == [["A title\nA snippet"]] * 2
    assert rows[0]["documents"] == ["https://example.org/what"]
    asked = len(server.asked)
    assert asked >= 2
    quick_job("rag", *line, "retrieve.k=3")  # another run, which asks nothing again
    assert len(server.asked) == asked


def test_the_web_that_cannot_be_reached(tmp_path: Path, quick_job: Job) -> None:
    (tmp_path / "questions.csv").write_text("id,question\na,what is a dragon?\n")
    done = quick_job(
        "retrieve", "retriever=web", f"data.path={tmp_path}/questions.csv", "data.columns.question=question",
        "retriever.backend=mojeek", "retriever.base_url=http://127.0.0.1:9",
        "retriever.retries=1", "retriever.backoff_seconds=0.01",
        f"run.root={tmp_path}", code=1,
    )  # fmt: skip
    assert "reach" in done.stderr
    assert not list(tmp_path.glob("*/result.parquet"))
