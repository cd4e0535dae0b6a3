"""Runs are tracked by the real trackers, each on this machine; one that fails costs a run nothing but a warning."""

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lib.pipeline.tracking.track_config import Tracker
from lib.pipeline.tracking.trackers import TrackedRun
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


def test_a_tracker_that_is_not_installed_is_refused_before_the_run(
    line: list[str], quick_job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = quick_job("judge", *line, "track=mlflow", code=2).stderr
    assert "track=mlflow: needs the package mlflow; pip install -e '.[mlflow]', or leave track out" in said
    assert not (tmp_path / "judged").exists()
