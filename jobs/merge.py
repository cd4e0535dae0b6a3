"""Merge a run's shards into its result, report and submission; make another submission of a merged run, by
another rule or calibrated, and without its engine; or blend or calibrate the submissions of several runs.

python -m jobs.merge run.dir=DIR
python -m jobs.merge run.dir=DIR partial=true
python -m jobs.merge run.dir=DIR publish=hub publish.repo=OWNER/NAME
python -m jobs.merge run.dir=DIR merge.out=FILE arena.rule=threshold
python -m jobs.merge run.dir=DIR merge.out=FILE merge.calibration=calibration.json
python -m jobs.merge 'merge.submissions=[a.csv,b.csv]' 'merge.weights=[0.6,0.4]' merge.out=FILE
python -m jobs.merge 'merge.submissions=[a.csv,b.csv]' merge.fit=labels.csv merge.out=FILE
"""

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from jobs._outcomes import OUTCOMES
from lib.config import require_local, require_unset
from lib.data.battle_files.blended_files import blend_submissions
from lib.data.delivery import copy_out, require_writable
from lib.data.hub.publish_config import PublishConfig
from lib.data.hub.publishing import publish, require_publishable
from lib.data.manifest import read_manifest
from lib.data.submission import SubmissionConfig
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.calibrating.applying import calibrate_submissions, conclude_calibrated
from lib.pipeline.calibrating.fitted_blend import blend_fitted
from lib.pipeline.command import Command
from lib.pipeline.outcomes.another_rule import RULES, another_rule, conclude_by, in_words
from lib.pipeline.outcomes.another_submission import submit_another
from lib.pipeline.outcomes.format_outcome import FormatConfig
from lib.pipeline.outcomes.partial import merge_partial
from lib.pipeline.run_config import RunDir

_OF_RUNS = [f.name for base in (SubmissionConfig, FormatConfig) for f in fields(base)]


@dataclass(frozen=True, kw_only=True)
class Merge(SubmissionConfig, FormatConfig):
    """format: of the result of a job about texts; on_failed, prior, sample: of one about battles.

    submissions: the files to blend; weights: one for each, in [0, 1], summing to 1; out: the file to write, of them or
    of a run. normalise: take rows of theirs that do not sum to 1, divided by their sum.

    fit: a file of labels, on which the weights are fitted; fit_submissions: those of the same models on the labelled
    rows, in the same order, where `submissions` are of other rows; stack: take a logistic regression on all members'
    log-probabilities in place of weights where it is better on rows held out.

    calibration: what jobs.calibrate has written, to be applied to a run, to one submission, or (a stack) to several.
    """

    submissions: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    out: str | None = None
    normalise: bool = False
    fit: str | None = None
    fit_submissions: list[str] = field(default_factory=list)
    stack: bool = False
    calibration: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("out", "fit", "calibration"):
            require_local(f"merge.{key}", getattr(self, key))
        for key in ("submissions", "fit_submissions"):
            for path in getattr(self, key):
                require_local(f"merge.{key}", path)
        if self.fit is None and self.fit_submissions:
            raise ConfigError(f"merge.fit_submissions={self.fit_submissions}: has no effect without merge.fit")
        if self.fit is None and self.stack:
            raise ConfigError("merge.stack=true: has no effect without merge.fit; leave it out")
        if self.fit_submissions and len(self.fit_submissions) != len(self.submissions):
            raise ConfigError(
                f"merge.fit_submissions: {len(self.fit_submissions)} files, and {len(self.submissions)} in "
                "merge.submissions; give one of the labelled rows for each, in the same order"
            )


@dataclass(frozen=True, kw_only=True)
class MergedRun(RunDir):
    """max_error_rate: share of rows that may have failed before the run counts as failed. out: as of a run."""

    max_error_rate: float = 1.0
    out: str | None = None


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/merge.yaml`. partial: of a run that is not done, what is there.

    judge, arena: settings of a rule, null where the run's own stays.
    """

    run: MergedRun
    merge: Merge
    partial: bool = False
    publish: PublishConfig = field(default_factory=PublishConfig)
    judge: dict[str, Any] = field(default_factory=dict)
    arena: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.partial:
            require_unset("run", self.run, "with partial=true", ["dir"])
            require_unset("publish", self.publish, "with partial=true")
            if self.run.dir is None or self.merge.out is not None:
                raise ConfigError("partial=true: is of one run and its own rule: give run.dir=DIR, and no merge.out")
        if (self.run.dir is None) is not bool(self.merge.submissions and self.merge.out):
            raise ConfigError(
                "give run.dir=DIR, or merge.submissions=[…], merge.out=FILE and one of merge.weights=[…], "
                "merge.fit=LABELS and merge.calibration=FILE"
            )
        if self.run.dir is None:
            given = {name: getattr(self.merge, name) for name in ("weights", "fit", "calibration")}
            if len(there := [f"merge.{name}={value}" for name, value in given.items() if value]) > 1:
                raise ConfigError(f"{there[1]}: has no effect with {there[0]}; leave one out")
            own = [f.name for f in fields(Merge) if f.name not in _OF_RUNS]
            require_unset("merge", self.merge, "on submissions that are blended", own)
            require_unset("run", self.run, "on submissions that are blended")
            require_unset("publish", self.publish, "on submissions that are blended")
            self.require_no_rule(RULES, "has no effect on submissions that are blended; leave it out")
        elif self.merge.out is None:
            require_unset("merge", self.merge, "on a run that is merged", _OF_RUNS)
            self.require_no_rule(RULES, "makes another submission; say where, with merge.out=FILE")
        else:
            require_unset("merge", self.merge, "on a run", [*_OF_RUNS, "out", "calibration"])
            require_unset("run", self.run, "with merge.out", ["dir"])
            require_unset("publish", self.publish, "with merge.out")
            if self.merge.calibration is not None:
                self.require_no_rule(RULES, "has no effect with merge.calibration; leave one out")

    def rule(self, job: str) -> dict[str, Any]:
        """The settings of a job's rule that are given."""
        return {key: value for key, value in getattr(self, job).items() if value is not None}

    def require_no_rule(self, jobs: Collection[str], why: str) -> None:
        """Raise ConfigError, saying why, where a setting of one of these jobs' rules is given."""
        for job in jobs:
            for key, value in self.rule(job).items():
                raise ConfigError(f"{job}.{key}={value}: {why}")


def main(config: Config) -> None:
    """Run the job."""
    if config.run.dir is not None:
        _of_a_run(config, Path(config.run.dir).resolve())
        return
    merge = config.merge
    assert merge.out is not None
    out, paths = Path(merge.out), [Path(path) for path in merge.submissions]
    if merge.calibration is not None:
        made = calibrate_submissions(Path(merge.calibration), paths, out, normalise_rows=merge.normalise)
    elif merge.fit is not None:
        fitted_on, labels = [Path(path) for path in merge.fit_submissions], Path(merge.fit)
        made = blend_fitted(paths, labels, out, fitted_on=fitted_on, stack=merge.stack, normalise_rows=merge.normalise)
    else:
        made = blend_submissions(paths, merge.weights, out, normalise=merge.normalise)
    print(f"submission: {out} ({len(made.ids):,} rows, checked)")


def _of_a_run(config: Config, folder: Path) -> None:
    manifest = read_manifest(folder)
    job, outcome = manifest.job, OUTCOMES[manifest.job]
    taken = [f.name for f in fields(outcome.merge)]
    if config.merge.out is None:
        require_unset("merge", config.merge, f"on a run of jobs.{job}", taken)
        if config.partial:
            merge_partial(folder, outcome, config.merge)
            return
        require_writable(config.run.out, str(folder))
        require_publishable(config.publish)
        outcome.finish(folder, config.merge, config.run.max_error_rate)
        copy_out(folder, config.run.out)
        publish(folder, config.publish)
        return
    if job not in RULES:
        raise ConfigError(f"merge.out={config.merge.out}: a run of jobs.{job} has no submission; leave it out")
    require_unset("merge", config.merge, f"on a run of jobs.{job}", [*taken, "out", "calibration"])
    config.require_no_rule(RULES.keys() - {job}, f"has no effect on a run of jobs.{job}; leave it out")
    out, path = Path(config.merge.out), config.merge.calibration
    if path is None:
        rule = another_rule(manifest, config.rule(job))
        submit_another(conclude_by(rule), in_words(rule, job), folder, out, config.merge)
        return
    conclude = conclude_calibrated(Path(path), manifest, folder)
    submit_another(conclude, f"merge.calibration={path}", folder, out, config.merge)


JOB = Command("merge", Config, main)

if __name__ == "__main__":
    launch(JOB)
