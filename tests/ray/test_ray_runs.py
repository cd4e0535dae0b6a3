"""Runs with real actors, of a cluster that is joined or of their own."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import Job
from tests.jobs.test_jobs import POISON, require_all_files, require_failures

Battles = Callable[..., Path]
DUMMY = ("data=arena", "engine=dummy", "executor=ray")


@pytest.mark.parametrize("name", ["judge", "arena"])
def test_a_run_leaves_all_its_files(name: str, job: Job, battles: Battles, ray_cluster: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    line = [*DUMMY, f"data.path={battles(20)}", f"run.dir={run}"]
    require_all_files(job(name, *line, RAY_ADDRESS=ray_cluster), run)


def test_failed_rows_are_recorded_and_the_run_says_so(
    job: Job, battles: Battles, ray_cluster: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    line = [*DUMMY, f"data.path={battles(40, POISON)}", "engine.fail_on=POISON", f"run.dir={run}"]
    require_failures(job("judge", *line, code=1, RAY_ADDRESS=ray_cluster), run)


def test_more_workers_than_there_is_room_for(job: Job, battles: Battles, tmp_path: Path) -> None:
    line = [*DUMMY, f"data.path={battles(20)}", "executor.workers=9999", f"run.dir={tmp_path / 'run'}"]
    refused = job("judge", *line, code=2)
    assert "executor.workers=9999" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_executors_and_workers_give_the_same_result(job: Job, quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    line = ["data=arena", f"data.path={battles(50)}", "engine=dummy"]
    quick_job("judge", *line, "executor=inline", f"run.dir={tmp_path / 'inline'}")
    quick_job("judge", *line, "executor=inline", "run.shard_rows=3", f"run.dir={tmp_path / 'small_shards'}")
    job("judge", *line, "executor=ray", "executor.workers=2", f"run.dir={tmp_path / 'ray'}")
    results = [pq.read_table(tmp_path / name / "result.parquet") for name in ("inline", "ray", "small_shards")]
    assert results[0].equals(results[1])
    assert results[0].equals(results[2])


def test_workers_share_the_gpus_of_a_cluster_that_is_joined(
    job: Job, battles: Battles, ray_cluster: str, tmp_path: Path
) -> None:
    line = ["data=arena", f"data.path={battles(60)}", "engine=dummy", "executor=ray", "engine.num_gpus=1"]
    line += ["engine.seconds_per_request=0.02", "executor.cpus_per_worker=0.5"]
    done = job("judge", *line, f"run.dir={tmp_path / 'run'}", RAY_ADDRESS=ray_cluster)
    assert done.stderr.count("a worker is ready") == 2  # as many as there are (logical) GPUs
    too_many = job("judge", *line, "executor.workers=3", f"run.dir={tmp_path / 'two'}", code=2, RAY_ADDRESS=ray_cluster)
    assert "has room for 2" in too_many.stderr


def test_a_row_that_kills_its_worker_is_the_only_one_lost(
    job: Job, battles: Battles, ray_cluster: str, tmp_path: Path
) -> None:
    path = battles(60, {23: "the word DEADLY is in here"})
    run = tmp_path / "run"
    line = ["data=arena", f"data.path={path}", "engine=dummy", "engine.exit_on=DEADLY", "executor=ray"]
    line += ["executor.max_restarts=6"]  # deaths with nothing finished in between: the halves without it finish
    line += ["executor.workers=2", "run.max_error_rate=0.1", "merge.on_failed=uniform", f"run.dir={run}"]
    job("judge", *line, RAY_ADDRESS=ray_cluster)
    failures = pq.read_table(run / "failures.parquet").to_pylist()
    assert [(failure["row"], failure["error"]) for failure in failures] == [(23, "killed the worker")]
    assert pq.read_table(run / "result.parquet")["p_a"].null_count == 1
