"""What jobs.submit refuses and shows; what it submits is tested on a real Slurm in tests/slurm."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lib.cluster.snapshot import ROOT, Snapshot
from lib.cluster.submitting import _ranges
from tests.conftest import Job

Battles = Callable[..., Path]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.path=none.csv"], "none.csv"),
        (["engine.fail_onn=x"], "fail_onn"),
        (["cluster=slurm", "executor=inline"], "executor=inline: here it must be executor=ray"),
        (["cluster=slurm_array", "executor.workers=2"], "workers"),
        (["cluster=slurm_array", "array.element=0/2"], "array.element=0/2: the cluster shares out the shards"),
        (["cluster=slurm", "--missing"], "submit.missing=true is for cluster=slurm_array"),
        (["cluster=slurm", "run.grace_seconds=200"], "cluster.signal_seconds=120"),
        (["cluster=slurm", "job=tournament"], "tournament"),
        (["cluster=slurm", "run.dir=s3://bucket/run"], "a run folder needs a file system"),
        (["cluster=unknown"], "cluster/unknown"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_refused_before_anything_is_submitted(
    overrides: Sequence[str], said: str, quick_job: Job, battles: Battles, tmp_path: Path
) -> None:
    line = ["data=arena", f"data.path={battles(4)}", "engine=dummy", f"run.dir={tmp_path / 'run'}"]
    keys = {override.split("=")[0] for override in overrides}
    done = quick_job("submit", *(item for item in line if item.split("=")[0] not in keys), *overrides, code=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "submit").exists()


def test_a_dry_run_shows_the_script_with_its_resources(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    cluster = ["cluster=slurm_array", "cluster.count=6", "cluster.at_once=2", "cluster.gres=gpu:1", "cluster.mem=8G"]
    cluster += ["cluster.partition=night", "cluster.time='8:00:00'", "cluster.options=[--exclusive]", "job=arena"]
    line = ["data=arena", f"data.path={battles(4)}", f"run.dir={tmp_path / 'run'}", "merge.on_failed=uniform"]
    shown = quick_job("submit", *cluster, *line, "--dry-run").stdout
    for option in ("array=0-5%2", "gres=gpu:1", "mem=8G", "partition=night", "time=8:00:00", "signal=B:USR1@120"):
        assert f"#SBATCH --{option}\n" in shown
    assert "#SBATCH --exclusive\n" in shown
    assert "/slurm/array.sbatch arena data=arena" in shown  # with the engine that jobs.arena has by itself
    assert f"/slurm/merge.sbatch run.dir={tmp_path}/run run.max_error_rate=0.0 merge.on_failed=uniform\n" in shown
    assert not (tmp_path / "run" / "submit").exists()


def test_without_a_scheduler_it_says_so(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    line = ["data=arena", f"data.path={battles(4)}", "engine=dummy", f"run.dir={tmp_path / 'run'}"]
    done = quick_job("submit", "cluster=slurm", *line, code=1, PATH="/nowhere")
    assert done.stderr.splitlines()[-1].endswith(
        "sbatch: no such command; is this a machine that Slurm jobs are submitted from?"
    )
    assert "0 of 4 rows" in quick_job("status", f"run.dir={tmp_path / 'run'}", PATH="/nowhere").stdout


def test_without_a_ray_cluster_it_says_so(job: Job, battles: Battles, tmp_path: Path) -> None:
    line = ["data=arena", f"data.path={battles(4)}", "engine=dummy", f"run.dir={tmp_path / 'run'}"]
    done = job("submit", "cluster=ray", "cluster.address=http://127.0.0.1:9", *line, code=1)
    assert "http://127.0.0.1:9: Ray's dashboard does not do that" in done.stderr.splitlines()[-1]


def test_a_snapshot_holds_all_that_runs(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path)
    snapshot.write()
    snapshot.write()
    assert [path.name for path in tmp_path.iterdir()] == [snapshot.path.name]
    tracked = subprocess.run(
        ["git", "ls-files", "jobs", "lib", "conf", "slurm"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(tracked) > 50
    for name in tracked:
        if (ROOT / name).exists():
            assert (snapshot.path / name).read_bytes() == (ROOT / name).read_bytes()
    assert not list(snapshot.path.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("numbers", "text"), [([0], "0"), ([0, 1, 2], "0-2"), ([1, 3], "1,3"), ([0, 1, 3, 4, 9], "0-1,3-4,9")]
)
def test_elements_are_named_as_sbatch_takes_them(numbers: list[int], text: str) -> None:
    assert _ranges(numbers) == text
