"""Tracking a run: its config, its progress, and what it has measured, told to a tracker that may fail."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from lib.data.manifest import Manifest, flatten
from lib.data.run_folder import METRICS, REPORT, read_config, read_object
from lib.errors import ConfigError
from lib.log import log
from lib.pipeline.tracking.track_config import TrackConfig, Tracker
from lib.pipeline.tracking.trackers import MlflowRun, TrackedRun, TrackioRun, WandbRun
from lib.scoring.flat_metrics import flat_figures
from lib.urls import reason

_RUNS: Mapping[Tracker, Callable[[str, str, str, Mapping[str, Any]], TrackedRun]] = {
    Tracker.wandb: WandbRun,
    Tracker.mlflow: MlflowRun,
    Tracker.trackio: TrackioRun,
}
_ABOUT_TIME = ("rows", "started", "updated", "eta_seconds")  # of progress.json, what makes no curve


def require_tracker(config: TrackConfig) -> None:
    """Raise ConfigError where the tracker's package is not installed, or can't keep runs where it would."""
    name = config.by.value
    if config.by is not Tracker.none and importlib.util.find_spec(name) is None:
        raise ConfigError(f"track={name}: needs the package {name}; pip install -e '.[{name}]', or leave track out")
    if config.by is Tracker.mlflow and not (
        os.environ.get("MLFLOW_TRACKING_URI") or importlib.util.find_spec("sqlalchemy")
    ):
        raise ConfigError(
            "track=mlflow: MLFLOW_TRACKING_URI must say where its server is, http://…; a database of its own, where it "
            "is not said, takes the whole package: pip install mlflow"
        )


class Tracking:
    """A run as it is told to a tracker: what fails there is warned of once, and then nothing more is told."""

    def __init__(self, config: TrackConfig, folder: Path, manifest: Manifest) -> None:
        self._name, self._folder = config.by.value, folder
        self._run: TrackedRun | None = None
        if config.by is not Tracker.none:
            begin = _RUNS[config.by]
            key = hashlib.sha256(f"{manifest.fingerprint} {folder.resolve()}".encode()).hexdigest()[:16]
            about = flatten({**read_config(folder), "job": manifest.job, "fingerprint": manifest.fingerprint})
            with self._guarded():
                self._run = begin(config.project, folder.name, key, about)

    def progress(self, content: Mapping[str, float | int | str | None]) -> None:
        """Tell what `progress.json` holds."""
        figures = {name: value for name, value in flat_figures(content).items() if name not in _ABOUT_TIME}
        step = int(figures.pop("rows_done"))
        self._do(lambda run: run.log({f"progress/{name}": value for name, value in figures.items()}, step))

    def end(self, *, done: bool) -> None:
        """Tell what was measured, and end the run there; of one that is not done: end this session."""
        metrics, report = self._folder / METRICS, self._folder / REPORT
        if done and metrics.exists():
            figures = flat_figures(read_object(metrics))
            self._do(lambda run: run.log(figures))
        self._do(lambda run: run.end(report if done and report.exists() else None, done=done))

    def _do(self, what: Callable[[TrackedRun], None]) -> None:
        with self._guarded():
            if self._run is not None:
                what(self._run)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with redirect_stdout(sys.stderr), _nobody_there():  # our output is for results
                yield
        except Exception as error:  # of the tracker, of the network, of what lies between
            self._run = None
            log.warning("track=%s: fails, and is told nothing more of this run (%s)", self._name, reason(error))


@contextmanager
def _nobody_there() -> Iterator[None]:
    """Take the terminal from who would ask there for a password: a run would wait all night for the answer."""
    terminal = sys.stdin
    try:
        with open(os.devnull, encoding="utf-8") as sys.stdin:
            yield
    finally:
        sys.stdin = terminal


@contextmanager
def tracked(config: TrackConfig, folder: Path, manifest: Manifest) -> Iterator[Tracking]:
    """Track what is done to a run within; one that is resumed goes on under the id that it has there."""
    tracking, done = Tracking(config, folder, manifest), False
    try:
        yield tracking
        done = True
    finally:
        tracking.end(done=done)
