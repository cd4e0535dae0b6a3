"""Evaluate a run, or a submission against labels: metrics, a table, and a report page.

python -m jobs.evaluate run.dir=DIR
python -m jobs.evaluate run.dir=DIR qrels=FILE
python -m jobs.evaluate 'runs=runs/generate-*'
python -m jobs.evaluate 'runs=[DIR,DIR]' out=DIR
python -m jobs.evaluate submission=FILE labels=FILE
python -m jobs.evaluate annotations=FILE
"""

from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from jobs._outcomes import OUTCOMES
from lib.config import require_local, require_unset
from lib.data.battle_files.annotations import RatingKind, read_annotations
from lib.data.manifest import read_manifest
from lib.data.run_folder import RESULT
from lib.errors import ConfigError, InputError
from lib.launch import launch
from lib.pipeline.command import Command
from lib.pipeline.outcomes.base import EvaluateConfig, Outcome
from lib.pipeline.outcomes.battle_outcome import BATTLES, print_agreement, print_report
from lib.pipeline.run_config import RunDir
from lib.report.predictions import from_submission, read_verdicts

_WHAT = ("run", "runs", "submission", "out")  # keys that say what is measured
_OF_ANNOTATIONS = ("run", "submission", "annotations", "ratings", "out")


@dataclass(frozen=True, kw_only=True)
class Config(EvaluateConfig):
    """`conf/evaluate.yaml`.

    partial: measure the ids that submission and labels both have, where one has more; normalise: take rows that do not
    sum to 1, divided by their sum. runs: run folders, as a glob or a list; beside those of battles also submissions.
    annotations: ratings by several annotators: how far they agree with each other, and with the verdicts of run.dir or
    submission where one is given. ratings: what they are. out: where metrics.json and report.html go, but of a run.
    """

    run: RunDir
    runs: Any = None  # OmegaConf knows no type of a text or a list
    submission: str | None = None
    annotations: str | None = None
    ratings: RatingKind | None = None
    partial: bool = False
    normalise: bool = False
    out: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("submission", "labels", "annotations", "out"):
            require_local(name, getattr(self, name))
        for path in self.compared:
            require_local("runs", path)
        if self.annotations is not None:
            require_unset("", self, "on annotations", but=_OF_ANNOTATIONS)
            if self.run.dir is not None and self.submission is not None:
                raise ConfigError("annotations: are compared with run.dir or submission; give one of them")
            return
        if self.ratings is not None:
            raise ConfigError(f"ratings={self.ratings.name}: has no effect without annotations; leave it out")
        of_files = self.submission is not None and self.labels is not None
        if sum((self.run.dir is not None, of_files, self.runs is not None)) != 1:
            raise ConfigError(
                "give run.dir=DIR, or runs=GLOB or [DIR,DIR], or submission=FILE and labels=FILE, or annotations=FILE"
            )
        if self.run.dir is not None and self.out is not None:
            raise ConfigError(f"out={self.out}: has no effect with run.dir, into which the report goes; leave it out")
        if not of_files and (self.submission is not None or (self.labels is not None and self.runs is None)):
            raise ConfigError("submission, labels: have an effect together only, and without run.dir; labels with runs")
        if self.runs is None and self.metric is not None:
            raise ConfigError(f"metric={self.metric.name}: has no effect without runs; leave it out")
        if of_files:
            require_unset("", self, "on a submission", but=[*_WHAT, "labels", "partial", "normalise"])

    @property
    def compared(self) -> list[str]:
        """What `runs` names. Raises ConfigError where it is neither a text nor a list of texts."""
        found = self.runs if isinstance(self.runs, list) else [] if self.runs is None else [self.runs]
        if (self.runs is not None and not found) or not all(isinstance(path, str) for path in found):
            raise ConfigError(f"runs={self.runs}: must be a glob, or a list of run folders and submissions")
        return found


def main(config: Config) -> None:
    """Run the job."""
    if config.annotations is not None:
        _annotations(config.annotations, config)
    elif config.run.dir is not None:
        folder = Path(config.run.dir).resolve()  # as the run itself shows it
        _outcome(folder, config).evaluate(folder, config)
    elif config.runs is not None:
        _compare(config)
    else:
        assert config.submission is not None
        assert config.labels is not None
        submission, labels = Path(config.submission), Path(config.labels)
        out = Path(config.out) if config.out else submission.with_name(f"{submission.stem}-evaluation")
        details = {"submission": str(submission), "labels": str(labels)}
        predictions = from_submission(submission, labels, partial=config.partial, normalise=config.normalise)
        print_report([predictions], out, f"evaluate: {submission.name}", details)


def _annotations(path: str, config: Config) -> None:
    found = read_annotations(path, config.ratings)
    judge = config.run.dir or config.submission
    if judge is not None:
        found = found.joined(judge, read_verdicts(Path(judge)))
    out = Path(config.out) if config.out else Path(path).with_name(f"{Path(path).stem}-agreement")
    print_agreement(found, out, f"evaluate: {Path(path).name}")


def _compare(config: Config) -> None:
    paths = _paths(config.compared)
    outcomes = [_outcome(path, config) if path.is_dir() else _of_submission(config) for path in paths]
    if other := next((n for n, outcome in enumerate(outcomes) if outcome is not outcomes[0]), 0):
        kinds = [f"a run of jobs.{read_manifest(path).job}" if path.is_dir() else "a submission" for path in paths]
        raise InputError(f"{paths[other]}: is {kinds[other]}, and {paths[0]} is {kinds[0]}")
    outcomes[0].compare(paths, config, Path(config.out or "runs/sweep"))


def _paths(given: Sequence[str]) -> list[Path]:
    """What is there by a name; else the finished runs that a glob matches. Raises InputError for one without any."""
    found: list[Path] = []
    for name in given:
        some = [Path(name)] if Path(name).exists() else [Path(path) for path in sorted(glob(name))]
        some = [path for path in some if path.is_file() or (path / RESULT).is_file()]
        if not some:
            raise InputError(f"runs={name}: matches no folder of a finished run; put it into quotes, with a *")
        found += some
    return found


def _of_submission(config: Config) -> Outcome:
    require_unset("", config, "on submissions that are compared", but=[*_WHAT, *BATTLES.measured_by])
    return BATTLES


def _outcome(folder: Path, config: Config) -> Outcome:
    """What a run is measured by. Raises ConfigError for a setting that has no effect on it."""
    job = read_manifest(folder).job
    found = OUTCOMES[job]
    require_unset("", config, f"on a run of jobs.{job}", but=[*_WHAT, *found.measured_by])
    return found


JOB = Command("evaluate", Config, main)

if __name__ == "__main__":
    launch(JOB)
