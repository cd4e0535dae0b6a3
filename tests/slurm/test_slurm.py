"""Runs on a real Slurm: the result is that of a laptop, whatever is cancelled, too short or dead in between."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Job
from tests.slurm.conftest import ROWS, Slurm, pace, shards, until

ARRAY = ("cluster=slurm_array", "cluster.time=10")
RAY = ("cluster=slurm", "cluster.time=10", "cluster.nodes=2", "cluster.cpus_per_task=2")


def require_equal(run: Path, laptop: bytes) -> None:
    assert (run / "submission.csv").read_bytes() == laptop
    assert pq.read_table(run / "result.parquet")["row"].to_pylist() == list(range(ROWS))


def output(run: Path) -> str:
    """All that the jobs of a run printed."""
    return "".join(path.read_text() for path in sorted(run.glob("submit/*/*.out")))


@pytest.fixture(scope="module")
def short_of_time(slurm: Slurm, line: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run of more than a minute whose time limit is one: begun first, looked at last, since it takes several."""
    run = tmp_path_factory.mktemp("slices") / "run"
    limit = ["cluster=slurm_array", "cluster.count=1", "cluster.time=1", "cluster.signal_seconds=35"]
    ids = slurm.submit(*limit, *line, pace(3), f"run.dir={run}", "run.grace_seconds=10")
    return run, ids


@pytest.fixture
def dead_node(slurm: Slurm) -> Iterator[list[str]]:
    """Put the name of a node here when it is dead: it is powered on again afterwards."""
    names: list[str] = []
    yield names
    for name in names:
        slurm.node("node-up", name)
    living = ["sinfo", "-h", "-p", "gpu", "-t", "idle,mixed,allocated", "-o", "%D"]
    until(lambda: sum(map(int, slurm.run(*living).stdout.split())) == 3, "three nodes are there")


def test_elements_of_an_array_plan_together_and_share_the_shards(
    short_of_time: object, slurm: Slurm, line: list[str], laptop: bytes, tmp_path: Path
) -> None:
    """`sbatch slurm/array.sbatch` itself: nobody has planned the run before its elements begin."""
    run = tmp_path / "run"
    command = [f"--output={tmp_path}/%A_%a.out", "--parsable", "--array=0-3%2"]
    array = slurm.run(
        "sbatch", *command, "slurm/array.sbatch", "judge", *line, pace(0.5), f"run.dir={run}"
    ).stdout.strip()
    command = [f"--output={tmp_path}/merge.out", "--parsable", f"--dependency=afterany:{array}"]
    running, most = ["squeue", "-h", "-r", "-j", array, "-t", "R", "-o", "%i"], 0

    def merged() -> bool:
        nonlocal most
        most = max(most, len(slurm.run(*running, code=None).stdout.split()))
        return "COMPLETED" in slurm.state(merge)

    merge = slurm.run("sbatch", *command, "slurm/merge.sbatch", f"run.dir={run}").stdout.strip()
    until(merged, "the array is merged")
    assert most == 2
    require_equal(run, laptop)
    parts = [json.loads((run / f"progress-{element}of4.json").read_text()) for element in range(4)]
    assert [(part["state"], part["rows_done"]) for part in parts] == [("done", ROWS // 4)] * 4
    assert not list(run.rglob("*.tmp"))


def test_what_a_cancelled_element_left_is_submitted_alone(
    short_of_time: object, slurm: Slurm, line: list[str], laptop: bytes, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    submission = [*ARRAY, *line, f"run.dir={run}"]
    array, merge = slurm.submit(*submission, pace(2))
    until(lambda: {number % 4 for number in shards(run)} >= {0, 1}, "elements 0 and 1 have done something")
    slurm.run("scancel", f"{array}_1")
    refused = slurm.job("submit", *submission, code=2)  # the others are still at work
    assert "is being worked on" in refused.stderr
    assert slurm.wait(merge) == "FAILED|1:0"
    missing = sorted(set(range(40)) - shards(run))
    assert {number % 4 for number in missing} == {1}
    assert f"{len(missing)} of 40 shards are unfinished (numbers {missing[0]}" in output(run)
    assert not (run / "submission.csv").exists()

    before = {path: path.stat().st_mtime_ns for path in run.glob("shards/*/*")}
    shown = slurm.job("submit", *submission, "--missing", "--dry-run").stdout
    assert "#SBATCH --array=1\n" in shown
    done = slurm.job("submit", *submission, pace(0), "--missing", "--wait").stdout
    assert f"missing:    {len(missing)} shards, of elements 1 of 4" in done
    require_equal(run, laptop)
    assert before.items() <= {path: path.stat().st_mtime_ns for path in run.glob("shards/*/*")}.items()
    submissions = set((run / "submit").iterdir())
    assert "nothing is left to be done" in slurm.job("submit", *submission, "--missing").stdout
    assert set((run / "submit").iterdir()) == submissions
    require_equal(run, laptop)


def test_another_count_in_the_middle(
    short_of_time: object, slurm: Slurm, line: list[str], laptop: bytes, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ids = slurm.submit(*ARRAY, *line, pace(5), "cluster.at_once=2", f"run.dir={run}")
    until(lambda: len(shards(run)) > 3, "some shards are done")
    slurm.cancel(ids)
    assert 3 < len(shards(run)) < 40
    line = [*line, pace(0), "cluster.count=3", f"run.dir={run}"]
    assert "#SBATCH --array=0-2\n" in slurm.job("submit", *ARRAY, *line, "--missing", "--dry-run").stdout
    slurm.job("submit", *ARRAY, *line, "--missing", "--wait")
    assert sorted(path.name for path in run.glob("log-*")) == sorted(
        [*(path.name for path in run.glob("log-?of4.txt")), "log-0of3.txt", "log-1of3.txt", "log-2of3.txt"]
    )
    require_equal(run, laptop)


def test_begun_under_slurm_and_finished_on_the_laptop(
    short_of_time: object, slurm: Slurm, line: list[str], laptop: bytes, job: Job, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ids = slurm.submit(*ARRAY, *line, pace(5), "cluster.at_once=2", f"run.dir={run}")
    until(lambda: shards(run), "a shard is done")
    shown = slurm.job("status", f"run.dir={run}").stdout
    assert f"{ids[0]}_0 RUNNING" in shown
    assert "of 200 rows" in shown
    slurm.cancel(ids)
    assert slurm.wait(ids[1]).startswith("CANCELLED")
    assert "CANCELLED" in slurm.job("status", f"run.dir={run}").stdout
    before = len(shards(run))
    assert before < 40
    done = job("judge", *line, "executor=inline", f"run.dir={run}")
    assert f"{40 - before} shards to do" in done.stderr
    require_equal(run, laptop)


def test_time_limits_are_slices(short_of_time: tuple[Path, list[str]], slurm: Slurm, laptop: bytes) -> None:
    run, (array, merge) = short_of_time
    assert slurm.wait(merge) == "COMPLETED|0:0"
    require_equal(run, laptop)
    slices = (run / "log-0of1.txt").read_text().count("run folder:")
    assert slices >= 3
    assert "Restarts=" in slurm.run("scontrol", "show", "job", f"{array}_0").stdout
    todo = [int(text.split()[-4]) for text in (run / "log-0of1.txt").read_text().splitlines() if "to do" in text]
    assert todo == sorted(todo, reverse=True)  # each slice went on where the one before ended
    assert len(set(todo)) >= 3  # on a busy machine one may end before it has done any


def test_a_preempted_job_is_queued_again(slurm: Slurm, line: list[str], laptop: bytes, tmp_path: Path) -> None:
    run = tmp_path / "run"
    place = ["cluster.count=1", "cluster.options=['--nodelist=node3']"]
    array, merge = slurm.submit(*ARRAY, *place, *line, pace(1), f"run.dir={run}")
    until(lambda: len(shards(run)) > 1, "some shards are done")
    slurm.run("sbatch", "--partition=high", "--nodelist=node3", "--exclusive", "--output=/dev/null", "--wrap=true")
    assert slurm.wait(merge) == "COMPLETED|0:0"
    require_equal(run, laptop)
    log = (run / "log-0of1.txt").read_text()
    assert "stopped: " in log  # SIGTERM reached the driver
    assert "Restarts=1" in slurm.run("scontrol", "show", "job", f"{array}_0").stdout


def test_a_dead_node_is_another_node_s_work(
    slurm: Slurm, line: list[str], laptop: bytes, tmp_path: Path, dead_node: list[str]
) -> None:
    run = tmp_path / "run"
    array, merge = slurm.submit(*ARRAY, "cluster.count=2", *line, pace(1), f"run.dir={run}")
    until(lambda: len(shards(run)) > 1, "some shards are done")
    node = slurm.run("squeue", "-h", "-j", f"{array}_0", "-o", "%N").stdout.strip()
    slurm.node("node-down", node)
    dead_node.append(node)
    assert slurm.wait(merge) == "COMPLETED|0:0"
    require_equal(run, laptop)
    assert "Restarts=1" in slurm.run("scontrol", "show", "job", f"{array}_0").stdout


def test_two_ray_clusters_on_the_same_two_nodes(slurm: Slurm, line: list[str], laptop: bytes, tmp_path: Path) -> None:
    """One by jobs.submit, with a GPU for each of its workers; one by `sbatch slurm/ray.sbatch` itself."""
    one, two = tmp_path / "one", tmp_path / "two"
    gpus = ["cluster.gres=gpu:1", "engine.num_gpus=1", "cluster.options=['--nodelist=node[1-2]']"]
    (first,) = slurm.submit(*RAY, *gpus, *line, pace(2), f"run.dir={one}")
    command = ["sbatch", "--parsable", "--nodes=2", "--nodelist=node[1-2]", "--cpus-per-task=2", "slurm/ray.sbatch"]
    command[1:1] = [f"--output={tmp_path}/two.out"]
    second = slurm.run(*command, "judge", *line, pace(2), f"run.dir={two}", "executor.cpus_per_worker=2").stdout.strip()

    places = [
        "squeue",
        "-h",
        "-j",
        f"{first},{second}",
        "-o",
        "%T %N",
    ]  # each takes much longer than to submit the other
    both = ["RUNNING node[1-2]"] * 2
    until(lambda: slurm.run(*places, code=None).stdout.splitlines() == both, "both run, on the same nodes")
    assert [slurm.wait(job) for job in (first, second)] == ["COMPLETED|0:0"] * 2
    for run in (one, two):
        require_equal(run, laptop)
        assert (run / "log.txt").read_text().count("a worker is ready") == 2
    until(lambda: not ray_processes(first, second), "nothing of them is left", 60)


def ray_processes(*jobs: str) -> list[str]:
    """Processes of the Ray clusters of these Slurm jobs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended
            continue
        found += [words for job in jobs if f"/tmp/ray/j{job}/" in words or f"temp-dir=/tmp/ray/j{job} " in words]
    return found


def test_the_job_ends_as_its_driver_does(slurm: Slurm, line: list[str], tmp_path: Path) -> None:
    """An engine that fails half of its rows: the run has failed, and so has the Slurm job."""
    broken = [*line, "engine.fail_on=answer", f"run.dir={tmp_path / 'run'}"]
    refused = slurm.job("submit", *ARRAY, "cluster.count=1", *broken, "--wait", code=1)
    assert "failed; its output" in refused.stderr.splitlines()[-1]


def test_what_is_submitted_is_a_copy(slurm: Slurm, line: list[str], laptop: bytes, tmp_path: Path) -> None:
    """Edits between submission and start don't matter: here, all of the code is gone by then."""
    import shutil

    checkout, run = tmp_path / "checkout", tmp_path / "run"
    for part in ("jobs", "lib", "conf", "slurm"):
        shutil.copytree(ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    command = [os.path.abspath(ROOT / ".venv" / "bin" / "python"), "-m", "jobs.submit", *ARRAY, *line]
    done = slurm.run(*command, "cluster.options=[--hold]", "cluster.count=1", f"run.dir={run}", cwd=checkout)
    array, merge = next(text for text in done.stdout.splitlines() if text.startswith("jobs:")).split()[1:]
    for part in ("jobs", "lib", "conf", "slurm"):
        shutil.rmtree(checkout / part)
        (checkout / part).mkdir()
    slurm.run("scontrol", "release", array, merge)
    assert slurm.wait(merge) == "COMPLETED|0:0"
    require_equal(run, laptop)
    assert json.loads(next(run.glob("submit/*/submission.json")).read_text())["ids"] == [array, merge]


def test_a_sweep_is_one_submission_for_each_point(slurm: Slurm, line: list[str], tmp_path: Path) -> None:
    sweep = ["engine.seed=0,1", f"run.dir={tmp_path}/seed${{engine.seed}}"]
    done = slurm.job("submit", "--multirun", *ARRAY, "cluster.count=1", *line, *sweep)
    ids = [text.split()[1:] for text in done.stdout.splitlines() if text.startswith("jobs:")]
    assert len(ids) == 2
    assert [slurm.wait(merge) for _, merge in ids] == ["COMPLETED|0:0"] * 2
    assert (tmp_path / "seed0" / "submission.csv").read_bytes() != (tmp_path / "seed1" / "submission.csv").read_bytes()
