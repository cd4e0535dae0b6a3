"""Runs of one process that is killed: the same command again ends with the result of an undisturbed run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Job
from tests.jobs.test_rag import DUMMIES, line


@pytest.mark.parametrize("stage", ["embedder", "reranker", "generator"])
def test_killed_in_a_stage_and_resumed(lecture: Path, quick_job: Job, stage: str) -> None:
    slow = {"embedder": 0.2, "reranker": 0.3, "generator": 1.5}[stage]
    command = line(lecture, "window_rerank", *DUMMIES, "rerank.threshold=null", "run.shard_rows=1")
    whole = quick_job("rag", *command, f"run.root={lecture}/whole", LECTURE=str(lecture))
    assert whole.stdout
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.rag", *command, f"{stage}.seconds_per_request={slow}"],
        cwd=ROOT,
        env={**os.environ, "LECTURE": str(lecture)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    kind = {"embedder": "embed", "reranker": "rerank", "generator": "generate"}[stage]
    deadline = time.monotonic() + 120
    while not list((lecture / "runs").glob(f"rag-lecture/{kind}-*/shards/*/*.parquet")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    quick_job("rag", *command, LECTURE=str(lecture))
    tables = [
        pq.read_table(next(lecture.glob(f"{root}/rag-lecture/generate-*/result.parquet"))) for root in ("whole", "runs")
    ]
    assert tables[0].drop_columns(["file"]).equals(tables[1].drop_columns(["file"]))


def test_retrieval_that_is_killed_goes_on(tmp_path: Path, quick_job: Job) -> None:
    (tmp_path / "talk.txt").write_text("。".join(f"{n}番目の話は{n * 7}です" for n in range(300)), encoding="utf-8")
    lines = (json.dumps({"id": str(n), "question": f"{n}番目の話"}) + "\n" for n in range(400))
    (tmp_path / "queries.jsonl").write_text("".join(lines))
    quick_job("chunk", f"data.path={tmp_path}/talk.txt", f"run.dir={tmp_path}/corpus")
    line = [
        f"data.path={tmp_path}/queries.jsonl", "data.columns.question=question", "retriever=bm25_ja",
        f"retriever.corpus={tmp_path}/corpus", "run.shard_rows=1",
    ]  # fmt: skip
    quick_job("retrieve", *line, f"run.dir={tmp_path}/whole")
    command = [sys.executable, "-m", "jobs.retrieve", *line, f"run.dir={tmp_path}/run"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "run" / "shards").rglob("*.parquet")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
    assert not (tmp_path / "run" / "result.parquet").exists()
    quick_job("retrieve", *line, f"run.dir={tmp_path}/run")
    tables = [pq.read_table(tmp_path / name / "result.parquet") for name in ("whole", "run")]
    assert tables[0].num_rows == 400
    assert tables[0].equals(tables[1])
