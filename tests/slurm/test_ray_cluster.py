"""Real `ray start` clusters of several nodes on this machine: nodes that come late, nodes that die, submitted jobs."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, Job
from tests.slurm.conftest import pace, shards, until

RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
Start = Callable[..., subprocess.Popen[bytes]]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture
def ray_start(tmp_path: Path) -> Iterator[Start]:
    """Run `ray start --block` with more options; all that were started are killed at the end."""
    nodes: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> subprocess.Popen[bytes]:
        # its own agent port: that of another Ray on this machine, by default the same, would leave it without an agent
        agent = f"--dashboard-agent-listen-port={free_port()}"
        command = [*RAY, "--object-store-memory=100000000", "--node-ip-address=127.0.0.1", agent, *options]
        environment = {**os.environ, **TOKEN, "RAY_health_check_failure_threshold": "3"}
        with (tmp_path / f"ray{len(nodes)}.log").open("wb") as output:
            nodes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output))
        return nodes[-1]

    yield start
    for node in nodes:
        kill(node)


def kill(node: subprocess.Popen[bytes]) -> None:
    """Kill a node with all its processes, as a power cut does."""
    try:
        family = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    node.wait(timeout=30)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_nodes_may_come_late_and_die(ray_start: Start, line: list[str], laptop: bytes, tmp_path: Path) -> None:
    port, run = free_port(), tmp_path / "run"
    ray_start("--head", f"--port={port}", "--num-cpus=1", "--include-dashboard=false")
    until(lambda: listens(port), "the head listens")
    command = [sys.executable, "-m", "jobs.judge", *line, "executor=ray", f"run.dir={run}"]
    environment = {**os.environ, **TOKEN, "RAY_ADDRESS": f"127.0.0.1:{port}"}
    log = tmp_path / "driver.log"
    with log.open("wb") as output:  # alone, the head's one worker would take 100 seconds
        slow = [*command, pace(5)]
        driver = subprocess.Popen(slow, cwd=ROOT, env=environment, stdout=output, stderr=output)

    until(lambda: shards(run), "the head's worker works")
    late = ray_start(f"--address=127.0.0.1:{port}", "--num-cpus=1")
    until(lambda: log.read_text().count("a worker is ready") == 2, "the late node has a worker")
    before = len(shards(run))
    until(lambda: len(shards(run)) >= before + 3, "both work")
    assert driver.poll() is None, log.read_text()
    kill(late)
    until(lambda: "a worker died" in log.read_text(), "its death is noticed")
    before = len(shards(run))
    until(lambda: len(shards(run)) >= before + 3, "the head's worker goes on, also with what the other had begun")
    driver.send_signal(signal.SIGUSR1)
    assert driver.wait(timeout=120) == 75, log.read_text()
    assert "recorded as failed" not in log.read_text()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (run / "submission.csv").read_bytes() == laptop


def test_a_run_is_submitted_to_a_running_cluster(
    ray_start: Start, line: list[str], laptop: bytes, job: Job, tmp_path: Path
) -> None:
    """jobs.submit cluster=ray: the driver's output is the user's, its exit code too."""
    port, dashboard, run = free_port(), free_port(), tmp_path / "run"
    ray_start("--head", f"--port={port}", "--num-cpus=4", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1")
    until(lambda: listens(dashboard), "the dashboard listens")
    cluster = ["cluster=ray", f"cluster.address=http://127.0.0.1:{dashboard}"]
    environment = {**TOKEN, "RAY_ADDRESS": ""}
    overrides = [*cluster, *line, "executor.workers=2", f"run.dir={run}"]
    done = job("submit", *overrides, "--wait", **environment)
    assert "a worker is ready" in done.stdout  # the driver's log
    assert "submission.csv (200 rows, checked)" in done.stdout
    assert (run / "submission.csv").read_bytes() == laptop
    name = re.findall(r"^jobs: +(\S+)", done.stdout, re.MULTILINE)[0]
    assert f"{name} SUCCEEDED" in job("status", f"run.dir={run}", **environment).stdout

    other = tmp_path / "other"
    sent = job("submit", *cluster, *line, pace(60), f"run.dir={other}", **environment).stdout
    name = re.findall(r"^jobs: +(\S+)", sent, re.MULTILINE)[0]
    until(lambda: "a worker is ready" in (other / "log.txt").read_text(), "it works")
    assert f"cancelled:  {name} (1 RUNNING)\n" in job("cancel", f"run.dir={other}", **environment).stdout
    nothing = "cancelled:  nothing, since no job of this run waits or works "
    again = partial(job, "cancel", f"run.dir={other}", **environment)
    until(lambda: f"{nothing}({name} STOPPED)\n" in again().stdout, "it has ended")
    record = next(other.glob("submit/*/submission.json"))
    record.write_text(record.read_text().replace(name, "of-another"))
    assert f"{nothing}(of-another unknown to the scheduler)\n" in again().stdout

    broken = [*cluster, *line, "engine.fail_on=answer", f"run.dir={tmp_path / 'broken'}"]
    failed = job("submit", *broken, "--wait", code=1, **environment)
    assert "rows failed" in failed.stdout
    assert "failed; its output" in failed.stderr.splitlines()[-1]
