"""jobs.generate as a user runs it, with a real model: the same samples whatever happens."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Job
from tests.jobs.test_generate import line, texts


@pytest.fixture(scope="module")
def whole(prompts: Path, quick_job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples of a run in one shard, undisturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    quick_job("generate", *line(prompts, run, "executor=inline"))
    return run


def test_rows_differ_and_so_do_their_samples(whole: Path) -> None:
    rows = texts(whole)
    assert [len(row) for row in rows] == [3] * 8
    assert len({text for row in rows for text in row}) > 20
    table = pq.read_table(whole / "result.parquet")
    for reasons, counts in zip(table["finish_reason"].to_pylist(), table["new_tokens"].to_pylist(), strict=True):
        assert all(count <= 10 for count in counts)
        assert [reason == "length" for reason in reasons] == [count == 10 for count in counts]
    assert "self-bleu" not in (whole / "metrics.json").read_text()  # JSON has its own names
    assert '"self_bleu"' in (whole / "metrics.json").read_text()


def test_the_same_samples_with_other_batches(prompts: Path, whole: Path, quick_job: Job, tmp_path: Path) -> None:
    other = ["executor=inline", "engine.batch_tokens=64", "run.shard_rows=3"]
    quick_job("generate", *line(prompts, tmp_path / "run", *other))
    assert texts(tmp_path / "run") == texts(whole)


def test_the_same_samples_with_two_workers(prompts: Path, whole: Path, job: Job, tmp_path: Path) -> None:
    job("generate", *line(prompts, tmp_path / "run", "executor.workers=2", "run.shard_rows=2"))
    assert texts(tmp_path / "run") == texts(whole)


def test_the_same_samples_after_a_kill(prompts: Path, whole: Path, quick_job: Job, tmp_path: Path) -> None:
    command = line(prompts, tmp_path / "run", "executor=inline", "run.shard_rows=2", "engine.batch_tokens=64")
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.generate", *command],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not list((tmp_path / "run" / "shards").rglob("*.parquet")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    quick_job("generate", *command)
    assert texts(tmp_path / "run") == texts(whole)


def test_another_seed_gives_other_samples(prompts: Path, whole: Path, quick_job: Job, tmp_path: Path) -> None:
    quick_job("generate", *line(prompts, tmp_path / "run", "executor=inline", "generate.seed=1", "data.limit=2"))
    assert texts(tmp_path / "run") != texts(whole)[:2]
