"""jobs.rag and jobs.tournament as a user runs them, with dummy engines and small documents."""

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

SENTENCES = ["推論時に計算を増やす", "訓練の話をする", "スケール則について学ぶ", "例を示す", "まとめる"]
DUMMIES = [
    "engine@embedder=dummy",
    "engine@generator=dummy",
    "engine@reranker=dummy",
    "generator.max_model_len=4096",
    "embedder.max_model_len=512",
    "reranker.max_model_len=4096",
    "rerank.threshold=null",
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two transcripts, called as those of the lecture, and questions."""
    text = "。".join(SENTENCES * 3) + "。"
    (tmp_path / "LLM2024_day4_raw.txt").write_text(text.replace("推論", "水論"), encoding="utf-8")
    (tmp_path / "LLM2024_day4.txt").write_text(text[:40] + "\n\n" + text[40:], encoding="utf-8")
    (tmp_path / "questions.csv").write_text("id,question\na,推論とは？\nb,スケール則とは？\n", encoding="utf-8")
    return tmp_path


def line(files: Path, experiment: str, *more: str) -> list[str]:
    return [f"experiment=lecture/{experiment}", f"data.path={files}/questions.csv", f"run.root={files}/runs", *more]


def answers(files: Path) -> dict[str, list[dict[str, object]]]:
    """The rows of each way of answering, by its name."""
    found = {}
    for path in sorted((files / "runs" / "rag-lecture").glob("generate-*/result.parquet")):
        found[path.parent.name.split("-")[1]] = pq.read_table(path).to_pylist()
    return found


def test_one_way_of_answering(files: Path, job: Job) -> None:
    done = job("rag", *line(files, "window", *DUMMIES), LECTURE=str(files))
    (rows,) = answers(files).values()
    document = (files / "LLM2024_day4.txt").read_text(encoding="utf-8")
    assert [row["id"] for row in rows] == ["a", "b"]
    for row in rows:
        assert row["text"]
        assert 1 <= len(row["passages"]) <= 5
        for passage, start, stop in zip(row["passages"], row["starts"], row["stops"], strict=True):
            assert document[start:stop] == passage
    page = Path(done.stdout.partition("report:")[2].strip()).read_text(encoding="utf-8")
    assert "推論とは？" in page
    assert "LLM2024_day4.txt, " in page


def test_all_ways_and_the_tournament(files: Path, job: Job) -> None:
    contest = "rag.tournament=['engine=dummy','engine.max_model_len=4096','prompt=pairwise_ja']"
    done = job("rag", *line(files, "all", *DUMMIES, contest), LECTURE=str(files))
    names = {"baseline", "raw", "corrected", "window", "window_rerank", "paragraphs"}
    assert set(answers(files)) == names
    assert {row.split()[0] for row in done.stdout.splitlines() if "+" in row or "-0" in row} >= names
    assert "30 of 30 battles about 2 questions were scored." in done.stdout
    folder = Path(done.stdout.partition("report:")[2].strip()).parent
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {system["name"] for system in metrics["systems"]} == names
    assert sum(system["won"] + system["lost"] + system["tied"] for system in metrics["systems"]) == 60
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert all(name in page for name in names)
    for row in answers(files)["window_rerank"]:
        assert sorted(row["scores"], reverse=True) == row["scores"]

    # Another prompt of the generator leaves all stages but the last as they are.
    again = job("rag", *line(files, "corrected", *DUMMIES, "prompt.joint=' / '"), LECTURE=str(files))
    stages = [text.rpartition("INFO stage ")[2] for text in again.stderr.splitlines() if "INFO stage" in text]
    assert [stage.endswith("reused") for stage in stages] == [True] * (len(stages) - 1) + [False]
    assert [stage.partition(":")[0] for stage in stages] == [
        "questions", "chunk", "embed documents", "embed questions", "retrieve", "generate",
    ]  # fmt: skip


@pytest.mark.parametrize("stage", ["embedder", "reranker", "generator"])
def test_killed_in_a_stage_and_resumed(files: Path, job: Job, stage: str) -> None:
    slow = {"embedder": 0.2, "reranker": 0.3, "generator": 1.5}[stage]
    command = line(files, "window_rerank", *DUMMIES, "run.shard_rows=1")
    whole = job("rag", *command, f"run.root={files}/whole", LECTURE=str(files))
    assert whole.stdout
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.rag", *command, f"{stage}.seconds_per_request={slow}"],
        cwd=ROOT,
        env={**os.environ, "LECTURE": str(files)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    kind = {"embedder": "embed", "reranker": "rerank", "generator": "generate"}[stage]
    deadline = time.monotonic() + 120
    while not list((files / "runs").glob(f"rag-lecture/{kind}-*/shards/*.parquet")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    job("rag", *command, LECTURE=str(files))
    tables = [
        pq.read_table(next(files.glob(f"{root}/rag-lecture/generate-*/result.parquet"))) for root in ("whole", "runs")
    ]
    assert tables[0].drop_columns(["file"]).equals(tables[1].drop_columns(["file"]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["documents.path={files}/empty.txt"], "no chunk"),
        (["documents.path={files}/missing.txt"], "no such file"),
        (["data.path={files}/LLM2024_day4.txt"], "column 'question' is missing"),
        (["data.path={files}/none.csv"], "the file has no rows"),
        (["rerank_prompt.template='{question}'"], r"missing: {passage}"),
        (["prompt.template='{question} {pasages}'"], "column 'pasages' is missing"),
    ],
)
def test_bad_input_is_refused(files: Path, job: Job, overrides: list[str], message: str) -> None:
    (files / "empty.txt").write_text("。\n。", encoding="utf-8")
    (files / "none.csv").write_text("id,question\n", encoding="utf-8")
    given = [override.format(files=files) if "{files}" in override else override for override in overrides]
    done = job("rag", *line(files, "window_rerank", *DUMMIES), *given, code=2, LECTURE=str(files))
    assert message in done.stderr
    assert "the worker is ready" not in done.stderr or "template" in overrides[0]


def test_a_stage_with_failed_rows_is_not_taken_for_a_good_one_the_next_time(files: Path, job: Job) -> None:
    failing = line(files, "baseline", *DUMMIES, "generator.fail_on='スケール則'")
    for _ in range(2):
        done = job("rag", *failing, code=1, LECTURE=str(files))
        assert "1 of 2 rows failed, more than run.max_error_rate=0 allows" in done.stderr
    job("rag", *failing, "run.max_error_rate=0.5", LECTURE=str(files))
    assert [row["text"] is None for row in answers(files)["baseline"]] == [False, True]


def test_a_result_older_than_a_shard_is_merged_again(files: Path, job: Job) -> None:
    command = line(files, "baseline", *DUMMIES)
    job("rag", *command, LECTURE=str(files))
    (shard,) = (files / "runs").glob("rag-lecture/generate-*/shards/*.parquet")
    shard.touch()
    for ending in ("s", "reused"):
        done = job("rag", *command, LECTURE=str(files))
        assert done.stderr.splitlines()[-1].endswith(ending)
        assert "INFO stage generate: 2 rows" in done.stderr.splitlines()[-1]


def test_more_passages_than_there_are(files: Path, job: Job) -> None:
    done = job("rag", *line(files, "corrected", *DUMMIES, "retrieve.k=50"), LECTURE=str(files))
    assert "k=50, but the corpus has only 15 passages" in done.stderr
    assert [len(row["passages"]) for row in answers(files)["corrected"]] == [15, 15]


def test_systems_that_answered_other_questions(files: Path, job: Job) -> None:
    job("rag", *line(files, "baseline", *DUMMIES), LECTURE=str(files))
    (files / "questions.csv").write_text("id,question\na,推論とは何か？\nb,スケール則とは？\n", encoding="utf-8")
    job("rag", *line(files, "baseline", *DUMMIES), LECTURE=str(files))
    one, other = sorted(str(path) for path in (files / "runs" / "rag-lecture").glob("generate-*"))
    two = [f"++tournament.answers.one={one}", f"++tournament.answers.other={other}"]
    done = job("tournament", *two, "engine=dummy", f"run.root={files}/runs", code=2)
    assert "question 'a' is another one" in done.stderr
    done = job("tournament", two[0], "engine=dummy", f"run.root={files}/runs", code=2)
    assert "needs two systems" in done.stderr
