"""Merge a run's shards into its result and what its job makes of it, or blend the submissions of several runs.

python -m jobs.merge run.dir=DIR
python -m jobs.merge 'merge.submissions=[a.csv,b.csv]' 'merge.weights=[0.6,0.4]' merge.out=FILE
"""

from dataclasses import dataclass, field, fields
from pathlib import Path

from jobs import OUTCOMES
from lib.config import require_local, require_unset
from lib.data.delivery import copy_out, require_writable
from lib.data.manifest import read_manifest
from lib.data.submission import SubmissionConfig, blend_submissions
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.command import Command
from lib.pipeline.outcomes.format_outcome import FormatConfig
from lib.pipeline.run_config import RunDir

_OF_RUNS = [f.name for base in (SubmissionConfig, FormatConfig) for f in fields(base)]


@dataclass(frozen=True, kw_only=True)
class Merge(SubmissionConfig, FormatConfig):
    """format: of the result of a job about texts; on_failed, prior, sample: of one about battles.

    submissions: the files to blend; weights: one for each, in [0, 1], summing to 1; out: the file to write.
    normalise: take rows of theirs that do not sum to 1, divided by their sum.
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
    """`conf/merge.yaml`."""

    run: MergedRun
    merge: Merge

    def __post_init__(self) -> None:
        blends = bool(self.merge.submissions) and self.merge.out is not None
        if (self.run.dir is None) is not blends:
            raise ConfigError("give run.dir=DIR, or merge.submissions=[…], merge.weights=[…] and merge.out=FILE")
        if blends:
            own = [f.name for f in fields(Merge) if f.name not in _OF_RUNS]
            require_unset("merge", self.merge, "on submissions that are blended", own)
            require_unset("run", self.run, "on submissions that are blended")
        else:
            require_unset("merge", self.merge, "on a run that is merged", _OF_RUNS)


def main(config: Config) -> None:
    """Run the job."""
    if config.run.dir is not None:
        folder = Path(config.run.dir)
        job = read_manifest(folder).job
        outcome = OUTCOMES[job]
        require_unset("merge", config.merge, f"on a run of jobs.{job}", [f.name for f in fields(outcome.merge)])
        require_writable(config.run.out, config.run.dir)
        outcome.finish(folder, config.merge, config.run.max_error_rate)
        copy_out(folder, config.run.out)
        return
    assert config.merge.out is not None
    out = Path(config.merge.out)
    merge = config.merge
    paths = [Path(path) for path in merge.submissions]
    blend = blend_submissions(paths, merge.weights, out, normalise=merge.normalise)
    print(f"submission: {out} ({len(blend.ids):,} rows, checked)")


JOB = Command("merge", Config, main)

if __name__ == "__main__":
    launch(JOB)
