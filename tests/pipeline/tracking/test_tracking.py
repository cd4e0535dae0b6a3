"""Runs are tracked by the real trackers, each on this machine; one that fails costs a run nothing but a warning."""

import importlib.util
import io
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lib.pipeline.tracking.track_config import Tracker
from lib.pipeline.tracking.trackers import MlflowRun, TrackedRun
from tests.conftest import Job


def needs(package: str) -> pytest.MarkDecorator:
    absent = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(absent, reason=f"needs the package {package}, of the extra {package}")


@pytest.fixture
def line(battles: Callable[..., Path], tmp_path: Path) -> list[str]:
    path = battles(6, {2: "poison"})
    own = ["engine.fail_on=poison", "merge.on_failed=uniform", f"run.dir={tmp_path / 'judged'}"]
    return ["data=arena", f"data.path={path}", "engine=dummy", "executor=inline", *own]


@pytest.fixture
def twice(line: list[str], job: Job, tmp_path: Path) -> Callable[..., Mapping[str, Any]]:
    """Have a run fail and then end well; what it measured. In processes of their own, as trackers keep threads."""

    def run(tracker: str, **environment: str) -> Mapping[str, Any]:
        for more, code in (([], 1), (["run.max_error_rate=0.5"], 0)):
            said = job("judge", *line, f"track={tracker}", *more, code=code, **environment)
            assert "fails, and is told nothing more" not in said.stderr
            assert said.stdout.splitlines()[0].split() == [
                "this",
                "run",
                "uniform",
                "95",
                "%",
            ]
        found: Mapping[str, Any] = json.loads((tmp_path / "judged" / "metrics.json").read_text())
        return found

    return run


@needs("wandb")
def test_wandb_keeps_one_run(twice: Callable[..., Mapping[str, Any]], tmp_path: Path) -> None:
    metrics = twice("wandb", WANDB_MODE="offline", WANDB_DIR=str(tmp_path))
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2
    (key,) = {file.stem.removeprefix("run-") for file in files}
    failed, ended = (file.read_bytes() for file in files)
    assert b"progress/failed" in failed
    for known in ("judged", "overnight", f"report-{key}", "log_loss", str(metrics["log_loss"])):
        assert known.encode() in ended, known


@needs("mlflow")
def test_mlflow_keeps_one_run(
    twice: Callable[..., Mapping[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    place = f"file://{tmp_path}/mlflow"  # a database takes more packages, and 20 s to make its tables
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    metrics = twice("mlflow", MLFLOW_TRACKING_URI=place)
    client = MlflowClient(place)
    experiment = client.get_experiment_by_name("overnight")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("judged", "FINISHED")
    assert run.data.metrics["log_loss"] == pytest.approx(metrics["log_loss"])
    assert run.data.metrics["progress/failed"] == 1
    assert run.data.params["prompt.system"] is not None
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["report.html"]


@needs("mlflow")
def test_mlflow_takes_names_that_a_table_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    place = f"file://{tmp_path}/mlflow"
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    for variable in MlflowRun.PATIENCE:
        monkeypatch.setenv(variable, "1")  # which is set back, and stays the user's
    run = MlflowRun("nights", "graded", "key", {"grade.criteria.clear?": "Is it?"})
    run.log({"by.model.gpt-4 (new)?.mean": 1.0, "by.model.日本語//../x.mean": 2.0, "by." + "x" * 300: 3.0})
    run.end(None, done=True)
    client = MlflowClient(place)
    experiment = client.get_experiment_by_name("nights")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.data.params == {"grade.criteria.clear_": "Is it?"}
    assert found.data.metrics == {
        "by.model.gpt-4 _new__.mean": 1.0, "by.model.日本語/_/_/x.mean": 2.0, "by." + "x" * 247: 3.0
    }  # fmt: skip


@needs("trackio")
def test_trackio_keeps_one_run(
    twice: Callable[..., Mapping[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    metrics = twice("trackio", TRACKIO_DIR=str(tmp_path / "trackio"))
    from trackio.sqlite_storage import SQLiteStorage

    (name,) = SQLiteStorage.get_runs("overnight")
    assert name.startswith("judged-")
    logs = SQLiteStorage.get_logs("overnight", name)
    assert [log["log_loss"] for log in logs if "log_loss" in log] == [pytest.approx(metrics["log_loss"])]


class Failing:
    """A tracker that is gone after the first figures."""

    told = 0

    def __init__(self, *_: object) -> None:
        pass

    def log(self, figures: Mapping[str, float], step: int | None = None) -> None:
        Failing.told += 1
        raise ConnectionError("https://user:s3cret@tracker is gone")

    def end(self, report: Path | None, *, done: bool) -> None:
        Failing.told += 1


def test_a_tracker_that_fails_is_warned_of_once_and_the_run_goes_on(
    line: list[str], quick_job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from lib.pipeline.tracking import tracking

    kind: Callable[..., TrackedRun] = Failing
    monkeypatch.setattr(tracking, "_RUNS", {Tracker.wandb: kind})
    monkeypatch.setattr("lib.pipeline.job.require_tracker", lambda _: None)
    said = quick_job("judge", *line, "track=wandb", "run.max_error_rate=0.5")
    assert said.stderr.count("track=wandb: fails, and is told nothing more of this run (https://tracker is gone)") == 1
    assert Failing.told == 1
    assert (tmp_path / "judged" / "submission.csv").exists()


class Asking(Failing):
    """A tracker that asks for a password where somebody may be there."""

    def __init__(self, *_: object) -> None:
        raise ConnectionError("who are you?" if sys.stdin.isatty() else "nobody is there to be asked")


class Terminal(io.StringIO):
    """A terminal at which nobody answers."""

    def isatty(self) -> bool:
        return True


def test_a_tracker_asks_nothing(
    line: list[str], quick_job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from lib.pipeline.tracking import tracking

    kind: Callable[..., TrackedRun] = Asking
    monkeypatch.setattr(tracking, "_RUNS", {Tracker.wandb: kind})
    monkeypatch.setattr("lib.pipeline.job.require_tracker", lambda _: None)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdin", terminal)
    assert "(nobody is there to be asked)" in quick_job("judge", *line, "track=wandb", "run.max_error_rate=0.5").stderr
    assert sys.stdin is terminal


def test_mlflow_without_a_place_is_refused_before_the_run(
    line: list[str], quick_job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sqlalchemy" else found("json"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    said = quick_job("judge", *line, "track=mlflow", code=2).stderr
    assert "track=mlflow: MLFLOW_TRACKING_URI must say where its server is" in said
    assert not (tmp_path / "judged").exists()


def test_a_tracker_that_is_not_installed_is_refused_before_the_run(
    line: list[str], quick_job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = quick_job("judge", *line, "track=mlflow", code=2).stderr
    assert "track=mlflow: needs the package mlflow; pip install -e '.[mlflow]', or leave track out" in said
    assert not (tmp_path / "judged").exists()
