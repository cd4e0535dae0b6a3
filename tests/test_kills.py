"""Whatever is killed, whenever: the same command again ends with the result of an undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Job

ROWS = 60
KILLS = 10
_SECONDS = (0.5, 9.0)  # a kill comes this long after the start: from the imports to the last shards


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, job: Job) -> tuple[list[str], bytes, Path]:
    """The command line, the submission of an undisturbed run, and a folder for more runs."""
    folder = tmp_path_factory.mktemp("kills")
    rows = "".join(
        f'{row},"[""question {row}""]","[""answer {row}""]","[""other answer {row}""]"\n' for row in range(ROWS)
    )
    (folder / "battles.csv").write_text("id,prompt,response_a,response_b\n" + rows)
    line = ["data=arena", f"data.path={folder}/battles.csv", "engine=dummy", "engine.seconds_per_request=0.02"]
    line += ["executor=ray", "executor.workers=2", "run.shard_rows=4"]
    job("judge", *line, f"run.dir={folder}/undisturbed")
    return line, (folder / "undisturbed" / "submission.csv").read_bytes(), folder


def _start(line: list[str], folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "jobs.judge", *line, f"run.dir={folder}"]
    output = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)


def _kill_driver(process: subprocess.Popen[bytes]) -> None:
    process.kill()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def _kill_actor(process: subprocess.Popen[bytes]) -> None:
    """Kill one of the run's Ray workers that hold an engine, if there is one by now."""
    family = psutil.Process(process.pid).children(recursive=True)
    actors = [child for child in family if "ray::_LazyWorker" in child.name() + " ".join(child.cmdline())]
    if actors:
        random.choice(actors).kill()


@pytest.mark.parametrize("kill", [_kill_driver, _kill_actor, _kill_group])
def test_killed_at_random_moments(
    kill: Callable[[subprocess.Popen[bytes]], None], work: tuple[list[str], bytes, Path], job: Job
) -> None:
    line, undisturbed, folder = work
    run = folder / kill.__name__
    moments = random.Random(kill.__name__)
    kills = 0
    while kills < KILLS:
        process = _start(line, run)
        try:
            process.wait(moments.uniform(*_SECONDS))
        except subprocess.TimeoutExpired:
            kill(process)
            kills += 1
        else:  # it ended before the kill: begin another run, so that there is something to kill
            assert process.returncode == 0
            assert (run / "submission.csv").read_bytes() == undisturbed
            run = run.with_name(run.name + "x")
            continue
        if kill is _kill_actor:
            process.wait(timeout=120)
            assert process.returncode == 0  # the run itself survives
        else:
            process.wait(timeout=60)
    job("judge", *line, f"run.dir={run}")
    assert (run / "submission.csv").read_bytes() == undisturbed
    result = pq.read_table(run / "result.parquet")
    assert result["row"].to_pylist() == list(range(ROWS))
    assert result["error"].null_count == ROWS


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 75)])
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_signals_stop_in_order(
    number: signal.Signals, code: int, executor: str, work: tuple[list[str], bytes, Path], job: Job
) -> None:
    line, undisturbed, folder = work
    line = [item for item in line if not item.startswith("executor")] + [f"executor={executor}"]
    run = folder / f"{executor}-{number.name}"
    command = [sys.executable, "-m", "jobs.judge", *line, f"run.dir={run}"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(run.glob("shards/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert errors.rstrip().splitlines()[-1].strip().startswith("python -m jobs.judge data=arena")
    assert not (run / "submission.csv").exists()
    assert not list(run.glob("**/*.tmp"))
    done = len(list(run.glob("shards/*.parquet")))
    assert 0 < done < ROWS / 4
    job("judge", *line, f"run.dir={run}")
    assert (run / "submission.csv").read_bytes() == undisturbed
