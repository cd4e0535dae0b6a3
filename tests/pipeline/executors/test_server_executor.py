"""A server of a run's own: its life and its deaths, with a stand-in for it. vLLM's own is in tests/vllm."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from lib.engines.own_server.server_process import Serving
from lib.pipeline.executors import server_executor
from tests.conftest import ROOT, Job

Battles = Callable[..., Path]
SERVER = Path(__file__).with_name("pretended_vllm.py")
LINE = ["data=arena", "engine=smollm2_135m_vllm", "executor=server", "store.dir=null", "judge.min_label_mass=0"]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have runs start the stand-in in place of vLLM."""

    def start(what: str = "answer", longest: int = 10_000) -> None:
        words = [sys.executable, str(SERVER), what, str(longest)]
        monkeypatch.setattr(server_executor, "serving", lambda _: Serving(words, {}))

    return start


def servers() -> list[psutil.Process]:
    mine = psutil.Process().children(recursive=True)
    return [each for each in mine if each.status() != psutil.STATUS_ZOMBIE and str(SERVER) in each.cmdline()]


def test_a_row_that_kills_the_server_is_found_and_no_other_is_lost(
    pretend: Callable[..., None], battles: Battles, quick_job: Job, tmp_path: Path
) -> None:
    pretend(longest=500)
    path, run = battles(12, {7: "tell me more " * 200}), tmp_path / "run"
    line = [*LINE, f"data.path={path}", f"run.dir={run}", "run.shard_rows=4"]
    said = quick_job("judge", *line, "run.max_error_rate=0.1", "merge.on_failed=uniform").stderr
    rows = pq.read_table(run / "result.parquet").to_pylist()
    assert [row["row"] for row in rows] == list(range(12))
    assert {row["row"]: row["error"] for row in rows if row["error"]} == {7: "killed the worker"}
    assert "its server ended with exit code 7" in said
    assert "row 7 of shard 1 kills its worker" in said
    assert "this prompt is too much for me" in (run / "server.txt").read_text()
    assert not servers()


def test_a_server_that_cannot_load(
    pretend: Callable[..., None], battles: Battles, quick_job: Job, tmp_path: Path
) -> None:
    pretend("load")
    said = quick_job("judge", *LINE, f"data.path={battles(4)}", f"run.dir={tmp_path / 'run'}", code=1).stderr
    assert "the vLLM server ended with exit code 1 while loading the model:\nno room for the weights" in said
    assert "Traceback" not in said


def test_a_server_that_cannot_load_again_is_tried_again(
    pretend: Callable[..., None], battles: Battles, quick_job: Job, tmp_path: Path
) -> None:
    """As where the memory of the one before is not free yet: three times."""
    pretend(f"once:{tmp_path / 'loaded'}", longest=500)
    line = [*LINE, f"data.path={battles(4, {2: 'more ' * 600})}", f"run.dir={tmp_path / 'run'}"]
    said = quick_job("judge", *line, code=1).stderr
    assert "workers died 3 times while loading the engine" in said.splitlines()[-1]
    assert said.count("ended with exit code 1 while loading the model") >= 3
    assert not servers()


def test_a_server_that_never_answers(
    pretend: Callable[..., None], battles: Battles, quick_job: Job, tmp_path: Path
) -> None:
    pretend("never")
    line = [*LINE, f"data.path={battles(4)}", f"run.dir={tmp_path / 'run'}", "executor.start_seconds=2"]
    assert "does not answer after 2 s (executor.start_seconds)" in quick_job("judge", *line, code=1).stderr
    assert not servers()


@pytest.mark.parametrize(
    ("job_name", "line", "said"),
    [
        ("judge", ["engine=dummy"], "executor=server: starts a server for a vllm engine, which this one isn't"),
        ("judge", ["executor.start_seconds=0"], "executor.start_seconds=0: must be positive"),
        ("judge", ["executor.max_restarts=-1"], "executor.max_restarts=-1: must not be negative"),
    ],
)
def test_what_is_refused(
    job_name: str, line: list[str], said: str, battles: Battles, quick_job: Job, tmp_path: Path
) -> None:
    given = [f"data.path={battles(4)}", f"run.dir={tmp_path / 'run'}"]
    assert said in quick_job(job_name, *LINE, *given, *line, code=2).stderr


def test_a_server_ends_with_the_run_that_is_killed(tmp_path: Path) -> None:
    """However the run ends: its server would hold the GPUs for ever."""
    begun = tmp_path / "begun"
    waits = (
        "import os, signal, sys, time\n"
        "from lib.engines.own_server.server_main import end_with_parent\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"  # as deaf to the first signal as vLLM can be
        "end_with_parent(int(sys.argv[1]))\n"
        f"open({str(begun)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(600)"
    )
    starts = (
        "import os, subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {waits!r}, str(os.getpid())], start_new_session=True)"
    )
    driver = subprocess.Popen([sys.executable, "-c", starts], cwd=ROOT)
    while not begun.exists() or not begun.read_text():
        time.sleep(0.02)
    server = psutil.Process(int(begun.read_text()))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    server.wait(30)
