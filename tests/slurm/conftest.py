"""What tests of clusters share: a real Slurm of three nodes on this machine, and the result of an undisturbed run."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lib.cluster.dispatch import ENDED
from tests.conftest import ROOT, Job

HERE = Path(__file__).parent
HOME = Path(f"/tmp/overnight-slurm-{os.getpid()}")  # short: sockets lie in it
LOCK = Path("/tmp/overnight-slurm.lock")
SCRIPTS = {**os.environ, "SLURM_CI_ROOT": str(HOME)}
ROWS = 200


def pace(seconds: float) -> str:
    """The override that makes a shard take so many seconds (a worker has two in flight). It changes no result."""
    return f"engine.seconds_per_request={seconds / 10}"


def until(true: Callable[[], object], what: str, seconds: float = 600) -> None:
    """Wait until something is so; fail, saying what, when it takes too long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"after {seconds} s still not: {what}"
        time.sleep(0.2)


def shards(run: Path) -> set[int]:
    """Numbers of the shards that are committed in a run folder."""
    return {int(path.stem.removeprefix("shard-")) for path in run.glob("shards/*/shard-*.parquet")}


class Slurm:
    """The cluster, as a user on its login host."""

    def run(
        self, *command: str, code: int | None = 0, cwd: Path = ROOT, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = subprocess.run(
            [str(HOME / "bin" / "slurm-exec"), *command],
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if code is not None:
            assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def job(self, name: str, *overrides: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run `python -m jobs.<name>`."""
        return self.run(sys.executable, "-m", f"jobs.{name}", *overrides, code=code)

    def submit(self, *overrides: str) -> list[str]:
        """Submit with jobs.submit; the ids of the jobs."""
        output = self.job("submit", *overrides).stdout
        return next(line for line in output.splitlines() if line.startswith("jobs:")).split()[1:]

    def state(self, job: str) -> str:
        """State and exit code of a job or an element, such as COMPLETED|0:0; "" while accounting doesn't know it."""
        return self.run("sacct", "-nPX", "-j", job, "-o", "state,exitcode").stdout.strip()

    def wait(self, job: str, seconds: float = 600) -> str:
        """Wait for the end of a job, however often it is queued again; its state and exit code."""
        until(lambda: self.state(job).split("|")[0].split(" ")[0] in ENDED, f"job {job} has ended", seconds)
        return self.state(job)

    def cancel(self, ids: list[str]) -> None:
        """Cancel jobs, and wait until nothing of them is left, elements that are completing included."""
        self.run("scancel", *ids)
        asked = ["squeue", "-h", "-j", ",".join(ids)]
        until(lambda: not self.run(*asked, code=None).stdout.strip(), f"jobs {ids} are gone")

    def node(self, command: str, name: str) -> None:
        """node-down or node-up."""
        subprocess.run([HERE / "start-slurm.sh", command, name], env=SCRIPTS, check=True, timeout=60)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A real Slurm with three nodes of 4 CPUs and 2 fake GPUs, each in namespaces of its own."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("needs root and Debian's packages, to start slurmctld, slurmd and munged")
    if subprocess.run(["unshare", "--net", "--pid", "--fork", "true"], check=False).returncode:
        pytest.skip("needs the right to make namespaces: each node of the cluster has its own")
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time on a machine: the nodes' control groups have names
        yield from _running()


def _running() -> Iterator[Slurm]:
    try:
        started = subprocess.run(
            [HERE / "start-slurm.sh"],
            env=SCRIPTS,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert started.returncode == 0, started.stdout + started.stderr
        yield Slurm()
    finally:
        subprocess.run([HERE / "stop-slurm.sh"], env=SCRIPTS, stdout=subprocess.DEVNULL, check=False, timeout=120)
        shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is judged: 200 battles, with the dummy engine, in 40 shards."""
    path = tmp_path_factory.mktemp("battles") / "battles.csv"
    rows = "".join(
        f'{row},"[""question {row}""]","[""answer {row}""]","[""another {row * 7}""]"\n' for row in range(ROWS)
    )
    path.write_text("id,prompt,response_a,response_b\n" + rows)
    return ["data=arena", f"data.path={path}", "engine=dummy", "run.shard_rows=5"]


@pytest.fixture(scope="session")
def laptop(line: list[str], job: Job, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The submission of an undisturbed run without any cluster."""
    run = tmp_path_factory.mktemp("laptop") / "run"
    job("judge", *line, "executor=inline", f"run.dir={run}")
    return (run / "submission.csv").read_bytes()
