"""Merge a run's shards into its result and submission, or blend the submissions of several runs.

python -m jobs.merge run.dir=DIR
python -m jobs.merge 'merge.submissions=[a.csv,b.csv]' 'merge.weights=[0.6,0.4]' merge.out=FILE
"""

from dataclasses import dataclass, field
from pathlib import Path

from lib.data.manifest import read_manifest
from lib.data.merging import merge_shards
from lib.data.submission import MergeConfig, blend_submissions
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.battles import BATTLE_JOBS, report, submit
from lib.pipeline.evaluation import report_texts
from lib.pipeline.job import RunFolder, print_result
from lib.pipeline.run import require_error_rate
from lib.pipeline.texts import FormatConfig, write_format


@dataclass(frozen=True, kw_only=True)
class Merge(MergeConfig, FormatConfig):
    """format: of the result of a job about texts; on_failed, prior, sample: of one about battles.

    submissions: the files to blend; weights: one for each, in [0, 1], summing to 1; out: the file to write.
    """

    submissions: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    out: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run(RunFolder):
    """max_error_rate: share of rows that may have failed before the run counts as failed."""

    max_error_rate: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/merge.yaml`."""

    run: Run
    merge: Merge

    def __post_init__(self) -> None:
        blends = bool(self.merge.submissions) and self.merge.out is not None
        if (self.run.dir is None) is not blends:
            raise ConfigError("give run.dir=DIR, or merge.submissions=[…], merge.weights=[…] and merge.out=FILE")


def main(config: Config) -> None:
    """Run the job."""
    if config.run.dir is not None:
        folder = Path(config.run.dir)
        manifest = read_manifest(folder)
        merged = merge_shards(manifest, folder)
        about_battles = manifest.job in BATTLE_JOBS
        if about_battles:
            report(folder)
        require_error_rate(merged, config.run.max_error_rate, folder)
        if about_battles:
            submit(folder, config.merge)
        else:
            print_result(merged, folder)
            write_format(folder, config.merge)
            if manifest.job == "generate":
                report_texts(folder)
        return
    assert config.merge.out is not None
    out = Path(config.merge.out)
    blend = blend_submissions([Path(path) for path in config.merge.submissions], config.merge.weights, out)
    print(f"submission: {out} ({len(blend.ids):,} rows, checked)")


if __name__ == "__main__":
    launch(main, Config, "merge")
