"""Merge a run's shards into its result and what its job makes of it; make another submission of a merged run, by
another rule and without its engine; or blend the submissions of several runs.

python -m jobs.merge run.dir=DIR
python -m jobs.merge run.dir=DIR merge.out=FILE arena.rule=threshold
python -m jobs.merge 'merge.submissions=[a.csv,b.csv]' 'merge.weights=[0.6,0.4]' merge.out=FILE
"""

from collections.abc import Collection
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from jobs import OUTCOMES
from lib.config import require_local, require_unset
from lib.data.battle_files.blending import blend_submissions
from lib.data.delivery import copy_out, require_writable
from lib.data.manifest import read_manifest
from lib.data.submission import SubmissionConfig
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.command import Command
from lib.pipeline.outcomes.another_rule import RULES, another_rule, submit_by
from lib.pipeline.outcomes.format_outcome import FormatConfig
from lib.pipeline.run_config import RunDir

_OF_RUNS = [f.name for base in (SubmissionConfig, FormatConfig) for f in fields(base)]


@dataclass(frozen=True, kw_only=True)
class Merge(SubmissionConfig, FormatConfig):
    """format: of the result of a job about texts; on_failed, prior, sample: of one about battles.

    submissions: the files to blend; weights: one for each, in [0, 1], summing to 1; out: the file to write, of them or
    of a run. normalise: take rows of theirs that do not sum to 1, divided by their sum.
    """

    submissions: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    out: str | None = None
    normalise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for path in (*self.submissions, self.out):
            require_local("merge.out" if path == self.out else "merge.submissions", path)


@dataclass(frozen=True, kw_only=True)
class MergedRun(RunDir):
    """max_error_rate: share of rows that may have failed before the run counts as failed. out: as of a run."""

    max_error_rate: float = 1.0
    out: str | None = None


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/merge.yaml`. judge, arena: settings of a rule, null where the run's own stays."""

    run: MergedRun
    merge: Merge
    judge: dict[str, Any] = field(default_factory=dict)
    arena: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.run.dir is None) is not bool(self.merge.submissions and self.merge.out):
            raise ConfigError("give run.dir=DIR, or merge.submissions=[…], merge.weights=[…] and merge.out=FILE")
        if self.run.dir is None:
            own = [f.name for f in fields(Merge) if f.name not in _OF_RUNS]
            require_unset("merge", self.merge, "on submissions that are blended", own)
            require_unset("run", self.run, "on submissions that are blended")
            self.require_no_rule(RULES, "has no effect on submissions that are blended; leave it out")
        elif self.merge.out is None:
            require_unset("merge", self.merge, "on a run that is merged", _OF_RUNS)
            self.require_no_rule(RULES, "makes another submission; say where, with merge.out=FILE")
        else:
            require_unset("merge", self.merge, "on a run", [*_OF_RUNS, "out"])
            require_unset("run", self.run, "with merge.out", ["dir"])

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
        _of_a_run(config, Path(config.run.dir))
        return
    assert config.merge.out is not None
    out = Path(config.merge.out)
    merge = config.merge
    paths = [Path(path) for path in merge.submissions]
    blend = blend_submissions(paths, merge.weights, out, normalise=merge.normalise)
    print(f"submission: {out} ({len(blend.ids):,} rows, checked)")


def _of_a_run(config: Config, folder: Path) -> None:
    manifest = read_manifest(folder)
    job, outcome = manifest.job, OUTCOMES[manifest.job]
    taken = [f.name for f in fields(outcome.merge)]
    if config.merge.out is None:
        require_unset("merge", config.merge, f"on a run of jobs.{job}", taken)
        require_writable(config.run.out, str(folder))
        outcome.finish(folder, config.merge, config.run.max_error_rate)
        copy_out(folder, config.run.out)
        return
    if job not in RULES:
        raise ConfigError(f"merge.out={config.merge.out}: a run of jobs.{job} has no submission; leave it out")
    require_unset("merge", config.merge, f"on a run of jobs.{job}", [*taken, "out"])
    config.require_no_rule(RULES.keys() - {job}, f"has no effect on a run of jobs.{job}; leave it out")
    submit_by(another_rule(manifest, config.rule(job)), folder, Path(config.merge.out), config.merge)


JOB = Command("merge", Config, main)

if __name__ == "__main__":
    launch(JOB)
