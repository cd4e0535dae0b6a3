"""Trackers: runs at Weights & Biases, in MLflow or Trackio, begun or, under the same id, gone on with."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol


class TrackedRun(Protocol):
    """A run as a tracker keeps it."""

    def log(self, figures: Mapping[str, float], step: int | None = None) -> None:
        """Figures of a time. step: rows done; None: figures of the end."""

    def end(self, report: Path | None, *, done: bool) -> None:
        """The end of it, or of this session. report: a page to be kept with it."""


class WandbRun:
    """Of Weights & Biases."""

    def __init__(self, project: str, name: str, key: str, config: Mapping[str, Any]) -> None:
        import wandb

        self._wandb = wandb
        self._run: Any = wandb.init(
            project=project,
            id=key,
            name=name,
            resume="allow",
            config=dict(config),
            settings=wandb.Settings(console="off", disable_git=True, disable_code=True, init_timeout=60),
        )

    def log(self, figures: Mapping[str, float], step: int | None = None) -> None:
        """As of a TrackedRun."""
        if step is None:
            self._run.summary.update(dict(figures))
        else:
            self._run.log({**figures, "rows_done": step})

    def end(self, report: Path | None, *, done: bool) -> None:
        """As of a TrackedRun."""
        if report is not None:
            artifact = self._wandb.Artifact(f"report-{self._run.id}", "report")
            artifact.add_file(str(report))
            self._run.log_artifact(artifact)
        self._run.finish(exit_code=0 if done else 1)


class MlflowRun:
    """Of MLflow."""

    _TAG = "overnight.id"
    _LONGEST = 6000  # of a parameter's value, in characters
    _LONGEST_NAME = 250
    PATIENCE: ClassVar[Mapping[str, str]] = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }

    def __init__(self, project: str, name: str, key: str, config: Mapping[str, Any]) -> None:
        from mlflow import MlflowClient

        for variable, value in self.PATIENCE.items():  # its own holds up a run for minutes where no server answers
            os.environ.setdefault(variable, value)

        self._client: Any = MlflowClient()
        found = self._client.get_experiment_by_name(project)
        experiment = self._client.create_experiment(project) if found is None else found.experiment_id
        known = self._client.search_runs([experiment], f"tags.`{self._TAG}` = '{key}'")
        if known:
            self._id = known[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        self._id = self._client.create_run(experiment, run_name=name, tags={self._TAG: key}).info.run_id
        for parameter, value in config.items():
            self._client.log_param(self._id, self._name(parameter), str(value)[: self._LONGEST])

    def log(self, figures: Mapping[str, float], step: int | None = None) -> None:
        """As of a TrackedRun."""
        for name, value in figures.items():
            self._client.log_metric(self._id, self._name(name), value, step=step or 0)

    def end(self, report: Path | None, *, done: bool) -> None:
        """As of a TrackedRun."""
        if report is not None:
            self._client.log_artifact(self._id, str(report))
        self._client.set_terminated(self._id, "FINISHED" if done else "FAILED")

    def _name(self, name: str) -> str:
        """A name as MLflow takes them, a path of few characters: what a table calls its models may be in it."""
        parts = re.sub(r"[^/\w.\- ]", "_", name).split("/")
        return "/".join(part if part.strip(".") else "_" for part in parts)[: self._LONGEST_NAME]


class TrackioRun:
    """Of Trackio, which knows runs by their names."""

    def __init__(self, project: str, name: str, key: str, config: Mapping[str, Any]) -> None:
        import trackio

        self._run: Any = trackio.init(
            project=project,
            name=f"{name}-{key[:8]}",
            config=dict(config),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, figures: Mapping[str, float], step: int | None = None) -> None:
        """As of a TrackedRun."""
        self._run.log(dict(figures), step=step)

    def end(self, report: Path | None, *, done: bool) -> None:
        """As of a TrackedRun."""
        if report is not None:
            self._run.log_artifact(report, type="report")
        self._run.finish()
