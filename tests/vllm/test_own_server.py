"""executor=server with vLLM's own server: the same numbers as in this process, and its death costs nothing."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq

from tests.conftest import ROOT, Job
from tests.models.test_model_runs import probabilities

ROWS = 12
TOLERANCE = 1e-4  # of probabilities, as between engines in this process


def test_a_server_that_dies_in_the_middle(shared: Path, job: Job, tmp_path: Path) -> None:
    data = f"data.path={shared}/arena_kaggle/train_first100.csv"
    line = ["data=arena", data, f"data.sample={ROWS}", "engine.max_model_len=192", "store.dir=null"]
    run, in_process = tmp_path / "run", tmp_path / "in_process"
    own = ["engine=smollm2_135m_vllm", "engine.max_num_seqs=2", "executor=server", "run.shard_rows=3"]
    words = [*line, *own, f"run.dir={run}"]
    driver = subprocess.Popen([sys.executable, "-m", "jobs.judge", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not list((run / "shards").rglob("*.parquet")):
        assert driver.poll() is None, driver.communicate()[1]
        time.sleep(0.05)
    (server,) = [each for each in psutil.Process(driver.pid).children() if "server_main" in " ".join(each.cmdline())]
    server.kill()
    _, said = driver.communicate(timeout=500)
    assert driver.returncode == 0, said
    assert "its server was ended by SIGKILL" in said
    job("judge", *line, "engine=smollm2_135m", "executor=inline", f"run.dir={in_process}")
    assert np.abs(probabilities(run) - probabilities(in_process)).max() < TOLERANCE
    columns = ["row", "verdict", "tokens", "cut_prompt", "cut_response_a", "cut_response_b", "error"]
    mine, others = (pq.read_table(folder / "result.parquet", columns=columns) for folder in (run, in_process))
    assert mine.equals(others)
    assert mine["error"].null_count == mine.num_rows == ROWS


def test_a_server_writes_as_the_model_does_in_this_process(job: Job, tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("instruction\nWhat is the capital of France?\nName three colours.\nCount from one to five.\n")
    line = ["data=table", f"data.path={path}", "prompt=instruct", "engine.max_model_len=1024", "store.dir=null"]
    line += ["generate.max_new_tokens=24", "generate.stop=['<|im_end|>',four]"]
    job("generate", *line, "engine=smollm2_135m_vllm", "executor=server", f"run.dir={tmp_path / 'run'}")
    job("generate", *line, "engine=smollm2_135m", "executor=inline", f"run.dir={tmp_path / 'in_process'}")
    columns = ["text", "finish_reason", "new_tokens", "tokens"]
    mine, others = (
        pq.read_table(tmp_path / name / "result.parquet", columns=columns) for name in ("run", "in_process")
    )
    assert mine.to_pylist() == others.to_pylist()
