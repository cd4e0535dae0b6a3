"""Evaluate a run, or a submission against labels: metrics, a table, and a report page.

python -m jobs.evaluate run.dir=DIR
python -m jobs.evaluate run.dir=DIR qrels=FILE
python -m jobs.evaluate 'runs=runs/generate-*'
python -m jobs.evaluate submission=FILE labels=FILE
"""

from dataclasses import dataclass
from glob import glob
from pathlib import Path

from jobs import OUTCOMES
from lib.config import require_local, require_unset
from lib.data.manifest import read_manifest
from lib.data.run_folder import RESULT
from lib.errors import ConfigError, InputError
from lib.launch import launch
from lib.pipeline.command import Command
from lib.pipeline.outcomes.base import EvaluateConfig, Outcome
from lib.pipeline.outcomes.battle_outcome import print_report
from lib.pipeline.run_config import RunDir
from lib.report.predictions import from_submission

_WHAT = ("run", "runs", "submission", "labels", "out")  # keys that say what is measured


@dataclass(frozen=True, kw_only=True)
class Config(EvaluateConfig):
    """`conf/evaluate.yaml`.

    partial: measure the ids that submission and labels both have, where one has more; normalise: take rows that do not
    sum to 1, divided by their sum. runs: a glob of the run folders of a sweep. out: where the metrics.json and
    report.html of a submission or of several runs go.
    """

    run: RunDir
    runs: str | None = None
    submission: str | None = None
    labels: str | None = None
    partial: bool = False
    normalise: bool = False
    out: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("submission", "labels", "out", "runs"):
            require_local(name, getattr(self, name))
        of_files = self.submission is not None and self.labels is not None
        if sum((self.run.dir is not None, of_files, self.runs is not None)) != 1:
            raise ConfigError("give run.dir=DIR, or runs=GLOB, or submission=FILE and labels=FILE")
        if self.run.dir is not None and self.out is not None:
            raise ConfigError(f"out={self.out}: has no effect with run.dir, into which the report goes; leave it out")
        if not of_files and (self.submission is not None or self.labels is not None):
            raise ConfigError("submission, labels: have an effect together only, and without run.dir and runs")
        if of_files:
            require_unset("", self, "on a submission", but=[*_WHAT, "partial", "normalise"])


def main(config: Config) -> None:
    """Run the job."""
    if config.run.dir is not None:
        folder = Path(config.run.dir)
        _outcome(folder, config).evaluate(folder, config)
    elif config.runs is not None:
        _compare(config.runs, config)
    else:
        assert config.submission is not None
        assert config.labels is not None
        submission, labels = Path(config.submission), Path(config.labels)
        out = Path(config.out) if config.out else submission.with_name(f"{submission.stem}-evaluation")
        details = {"submission": str(submission), "labels": str(labels)}
        predictions = from_submission(submission, labels, partial=config.partial, normalise=config.normalise)
        print_report([predictions], out, f"evaluate: {submission.name}", details)


def _compare(runs: str, config: Config) -> None:
    folders = [Path(path) for path in sorted(glob(runs)) if (Path(path) / RESULT).is_file()]
    if not folders:
        raise InputError(f"runs={runs}: matches no folder of a finished run; put it into quotes, with a *")
    jobs = [read_manifest(folder).job for folder in folders]
    if other := next((n for n, job in enumerate(jobs) if job != jobs[0]), 0):
        raise InputError(f"{folders[other]}: is a run of jobs.{jobs[other]}, and {folders[0]} of jobs.{jobs[0]}")
    _outcome(folders[0], config).compare(folders, config, Path(config.out or "runs/sweep"))


def _outcome(folder: Path, config: Config) -> Outcome:
    """What a run is measured by. Raises ConfigError for a setting that has no effect on it."""
    job = read_manifest(folder).job
    found = OUTCOMES[job]
    require_unset("", config, f"on a run of jobs.{job}", but=[*_WHAT, *found.measured_by])
    return found


JOB = Command("evaluate", Config, main)

if __name__ == "__main__":
    launch(JOB)
