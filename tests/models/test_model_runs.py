"""Runs of `jobs.judge` with the packaged real model."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Job

PROBABILITIES = ("p_a", "p_b", "p_tie")
TOLERANCE = 1e-5  # another number of threads adds float32 sums in another order


def probabilities(run: Path) -> np.ndarray:
    table = pq.read_table(run / "result.parquet")
    return np.column_stack([table[name].to_numpy() for name in PROBABILITIES])


def test_two_actors_and_this_process_give_the_same_probabilities(
    job: Job, quick_job: Job, shared: Path, ray_cluster: str, tmp_path: Path
) -> None:
    line = ["data=arena", f"data.path={shared}/arena_kaggle/train_first100.csv", "data.sample=8"]
    line += ["engine=smollm2_135m", "engine.max_model_len=320", "run.shard_rows=4"]
    quick_job("judge", *line, "executor=inline", f"run.dir={tmp_path / 'inline'}")
    ray = ["executor=ray", "executor.workers=2"]
    job("judge", *line, *ray, f"run.dir={tmp_path / 'ray'}", RAY_ADDRESS=ray_cluster)
    job("judge", *line, *ray, f"run.dir={tmp_path / 'again'}", RAY_ADDRESS=ray_cluster)
    inline = probabilities(tmp_path / "inline")
    assert inline.shape == (8, 3)
    assert np.abs(inline.sum(axis=1) - 1).max() < 1e-6
    assert np.abs(inline - probabilities(tmp_path / "ray")).max() < TOLERANCE
    assert (probabilities(tmp_path / "ray") == probabilities(tmp_path / "again")).all()  # bit for bit
    cuts = pq.read_table(tmp_path / "inline" / "result.parquet", columns=["cut_response_a", "tokens"])
    assert sum(cuts["cut_response_a"].to_pylist()) > 0
    assert max(cuts["tokens"].to_pylist()) <= 2 * 320


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_quantized_models_judge_on_the_cpu(quantization: str, quick_job: Job, tmp_path: Path) -> None:
    run = tmp_path / quantization
    line = [f"engine=smollm2_135m_{quantization}", "executor=inline", "data.limit=3", f"run.dir={run}"]
    done = quick_job("judge", *line)
    found = re.search(r"the worker is ready: (\d+) MiB of weights", done.stderr)
    assert found is not None
    assert int(found.group(1)) < 300  # 513 MiB in float32
    assert np.isfinite(probabilities(run)).all()


def test_the_japanese_judge(quick_job: Job, tmp_path: Path) -> None:
    line = ["prompt=pairwise_ja", "executor=inline", "data.limit=4", f"run.dir={tmp_path / 'ja'}"]
    refused = quick_job("judge", *line, code=2)  # of 135 million parameters: it would rather write something else
    assert "label mass 0.02" in refused.stderr
    quick_job("judge", *line, "judge.min_label_mass=0")
    table = pq.read_table(tmp_path / "ja" / "result.parquet")
    assert table["error"].null_count == 4
    assert all(0 < mass <= 1 for mass in table["label_mass"].to_pylist())


def test_the_plan_of_a_vllm_run_does_not_import_vllm(tmp_path: Path) -> None:
    line = ["engine=smollm2_135m_vllm", "engine.num_gpus=1", "plan.gpu=L4", "plan.deadline=90m", "executor=inline"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "jobs.plan", *line, f"run.dir={tmp_path / 'run'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "lib.engines.vllm.vllm_config" in imported
    assert not {"vllm", "ray"} & imported
    said = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert said.keys() == {"rows", "texts", "tokens", "cut", "prefix", "memory", "cache", "time", "cost", "workers"}
    assert "538 MB of weights + 47 MB of cache for a request of 1,024 tokens: needs 1 x L4" in said["memory"]
    assert "tokens of 45 KiB" in said["cache"]  # 2 x 30 layers x 3 key-value heads x 64 x 4 bytes
    assert said["workers"].startswith("workers 1 (1 GPUs)")
