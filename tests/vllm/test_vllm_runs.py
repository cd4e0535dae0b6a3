"""Runs of `jobs.judge` with vLLM on the CPU: in this process, and by two actors of which one is killed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Job
from tests.models.test_model_runs import probabilities

ROWS = 24
TOLERANCE = 1e-4  # of probabilities: another attention kernel, other batches


@pytest.fixture(scope="module")
def line(shared: Path) -> list[str]:
    data = f"data.path={shared}/arena_kaggle/train_first100.csv"
    return ["data=arena", data, f"data.sample={ROWS}", "engine.max_model_len=192", "run.shard_rows=2"]


@pytest.fixture(scope="module")
def undisturbed(line: list[str], job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("vllm") / "inline"
    done = job("judge", *line, "engine=smollm2_135m_vllm", "executor=inline", f"run.dir={run}")
    assert "the worker is ready: 513 MiB of weights" in done.stderr
    return run


def test_vllm_judges_as_transformers_does(line: list[str], undisturbed: Path, quick_job: Job, tmp_path: Path) -> None:
    quick_job("judge", *line, "engine=smollm2_135m", "executor=inline", f"run.dir={tmp_path / 'run'}")
    assert probabilities(undisturbed).shape == (ROWS, 3)
    assert np.abs(probabilities(undisturbed) - probabilities(tmp_path / "run")).max() < TOLERANCE
    columns = ["row", "tokens", "cut_prompt", "cut_response_a", "cut_response_b"]
    assert pq.read_table(undisturbed / "result.parquet", columns=columns).equals(
        pq.read_table(tmp_path / "run" / "result.parquet", columns=columns)
    )


def test_one_of_two_actors_is_killed(line: list[str], undisturbed: Path, ray_cluster: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "jobs.judge", *line, "engine=smollm2_135m_vllm", "executor=ray"]
    process = subprocess.Popen(
        [*command, "executor.workers=2", f"run.dir={run}"],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": ray_cluster},
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(run.glob("shards/*/*.parquet")):
        time.sleep(0.05)
    family = psutil.Process().children(recursive=True)
    actors = [child for child in family if "ray::_LazyWorker" in " ".join(child.cmdline())]
    assert len(actors) == 2
    actors[0].kill()
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert "a worker died" in errors
    assert errors.count("a worker is ready") >= 2
    result = pq.read_table(run / "result.parquet")
    assert result["row"].to_pylist() == pq.read_table(undisturbed / "result.parquet")["row"].to_pylist()
    assert result["error"].null_count == ROWS
    assert np.abs(probabilities(run) - probabilities(undisturbed)).max() < TOLERANCE


def test_vllm_says_how_well_it_was_used(job: Job, tmp_path: Path) -> None:
    run = tmp_path / "vllm"
    job("judge", "engine=smollm2_135m_vllm", "executor=inline", "data.limit=6", f"run.dir={run}", "run.shard_rows=3")
    assert np.isfinite(probabilities(run)).all()
    engine = json.loads((run / "metrics.json").read_text())["engine"]
    assert engine["tokens"] == sum(pq.read_table(run / "result.parquet")["tokens"].to_pylist())
    assert 0.1 < engine["cached_share"] < 1  # the judge's instructions, and what both orders begin with
    assert 0 < engine["queued"] <= 12  # two shards in flight, of 3 rows in two orders
    assert engine["gpu_utilization"] is engine["mfu"] is None
