"""Whatever is killed, whenever: the same command again ends with the result of an undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Job

ROWS = 60
KILLS = 10
SLOW, FAST = (f"engine.seconds_per_request={seconds}" for seconds in (0.1, 0))  # changes no result


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, job: Job) -> tuple[list[str], bytes, Path]:
    """The command line, the submission of an undisturbed run, and a folder for more runs."""
    folder = tmp_path_factory.mktemp("kills")
    rows = "".join(
        f'{row},"[""question {row}""]","[""answer {row}""]","[""other answer {row}""]"\n' for row in range(ROWS)
    )
    (folder / "battles.csv").write_text("id,prompt,response_a,response_b\n" + rows)
    line = ["data=arena", f"data.path={folder}/battles.csv", "engine=dummy", "executor=ray", "executor.workers=2"]
    line += ["run.shard_rows=2"]
    job("judge", *line, f"run.dir={folder}/undisturbed")
    return [*line, SLOW], (folder / "undisturbed" / "submission.csv").read_bytes(), folder


def _start(line: list[str], folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "jobs.judge", *line, f"run.dir={folder}"]
    output = subprocess.DEVNULL
    variables = {**os.environ, **environment}
    return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=output, stderr=output, start_new_session=True)


def _wait(process: subprocess.Popen[bytes], run: Path, moments: random.Random) -> bool:
    """Wait for a moment to kill: somewhere in the start-up, or a little after a shard. False where the run ended."""
    end = time.monotonic() + moments.uniform(0.5, 6)
    before = _shards(run)
    after_shard = moments.random() < 0.7
    while process.poll() is None and ((_shards(run) == before) if after_shard else (time.monotonic() < end)):
        time.sleep(0.02)
    time.sleep(moments.uniform(0, 0.5) if after_shard else 0)
    return process.poll() is None


def _shards(run: Path) -> int:
    return len(list(run.glob("shards/*/*.parquet")))


def _require_equal(run: Path, undisturbed: bytes) -> None:
    assert (run / "submission.csv").read_bytes() == undisturbed
    result = pq.read_table(run / "result.parquet")
    assert result["row"].to_pylist() == list(range(ROWS))
    assert result["error"].null_count == ROWS


@pytest.mark.parametrize("whole_group", [False, True], ids=["driver", "process group"])
def test_killed_at_random_moments(
    whole_group: bool, work: tuple[list[str], bytes, Path], job: Job, request: pytest.FixtureRequest
) -> None:
    """The driver alone, of a cluster that goes on; then driver, local cluster and actors all at once."""
    line, undisturbed, folder = work
    environment = {} if whole_group else {"RAY_ADDRESS": request.getfixturevalue("ray_cluster")}
    moments = random.Random(7)
    kills, runs = 0, [folder / f"killed{whole_group}"]
    while kills < KILLS:
        process = _start(line, runs[-1], **environment)
        if _wait(process, runs[-1], moments):
            if whole_group:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            kills += 1
        process.wait(timeout=60)
        if process.returncode == 0:  # it ended before it could be killed: begin another run
            runs.append(folder / f"killed{whole_group}{len(runs)}")
    job("judge", *(FAST if item == SLOW else item for item in line), f"run.dir={runs[-1]}", **environment)
    for run in runs:
        _require_equal(run, undisturbed)


def test_actors_killed_at_random_moments(work: tuple[list[str], bytes, Path], job: Job, ray_cluster: str) -> None:
    """The run itself survives. Were one row hit again and again, it would be taken for a killer: then it is retried."""
    line, undisturbed, folder = work
    moments = random.Random(8)
    kills, runs = 0, [folder / "actors"]
    while kills < KILLS:
        process = _start(line, runs[-1], RAY_ADDRESS=ray_cluster)
        while kills < KILLS and _wait(process, runs[-1], moments):
            kills += _kill_an_actor(moments)
        process.wait(timeout=120)
        job(
            "judge",
            *(FAST if item == SLOW else item for item in line),
            f"run.dir={runs[-1]}",
            "run.retry_failed=true",
            RAY_ADDRESS=ray_cluster,
        )
        runs.append(folder / f"actors{len(runs)}")
    for run in runs[:-1]:
        _require_equal(run, undisturbed)


def _kill_an_actor(moments: random.Random) -> int:
    """Kill one of the workers that hold an engine; the number killed. They are children of this process's cluster."""
    family = psutil.Process().children(recursive=True)
    actors = [child for child in family if _is_actor(child)]
    for actor in moments.sample(actors, k=min(len(actors), 1)):
        actor.kill()
    return min(len(actors), 1)


def _is_actor(process: psutil.Process) -> bool:
    try:
        return "ray::_LazyWorker" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 75)])
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_signals_stop_in_order(
    number: signal.Signals,
    code: int,
    executor: str,
    work: tuple[list[str], bytes, Path],
    job: Job,
    quick_job: Job,
    ray_cluster: str,
) -> None:
    environment = {**os.environ, "RAY_ADDRESS": ray_cluster}
    line, undisturbed, folder = work
    line = [*(item for item in line if not item.startswith("executor")), f"executor={executor}"]
    run = folder / f"{executor}-{number.name}"
    command = [sys.executable, "-m", "jobs.judge", *line, f"run.dir={run}"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(run.glob("shards/*/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert errors.rstrip().splitlines()[-1].strip().startswith("python -m jobs.judge data=arena")
    assert not (run / "submission.csv").exists()
    assert not list(run.glob("**/*.tmp"))
    done = len(list(run.glob("shards/*/*.parquet")))
    assert 0 < done < ROWS / 2
    again = quick_job if executor == "inline" else job
    again("judge", *(FAST if item == SLOW else item for item in line), f"run.dir={run}", RAY_ADDRESS=ray_cluster)
    _require_equal(run, undisturbed)
