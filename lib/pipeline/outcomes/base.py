"""An outcome: what is checked before a run of some kind, and what becomes of its result."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar

from lib.data.cuts import read_cuts
from lib.data.manifest import read_manifest
from lib.data.merging import MergeConfig, Merged, merge_shards
from lib.data.run_folder import FAILURES, METRICS, REPORT, RESULT
from lib.durations import count, shown
from lib.errors import ConfigError, InputError, OvernightError, RunFailed
from lib.log import log
from lib.pipeline.run import Run
from lib.scoring.aggregates.judgements import Aggregate
from lib.scoring.diversity import WordTokenizer


class Metric(Enum):  # members in lower case, since OmegaConf knows them by their names
    """A score of battles."""

    log_loss = "log_loss"
    accuracy = "accuracy"
    brier = "brier"
    kappa = "kappa"


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How runs are measured.

    labels: a file of labels by id, for a submission, or for runs of battles and submissions in place of what they know
    themselves. metric: the score in which several of these are compared first; null: log loss. qrels: judgements of
    retrieved passages (BEIR or TREC). cutoff: the k of nDCG@k and its like. tokenizer: of the diversity of samples;
    null: as suits the texts. aggregate: how a judge's verdicts are summed up; null: as its prompt says. baseline: the
    system that others are compared with there; null: the one that is in every battle. difficulty: a CSV with id and
    instruction_difficulty of each row, for AlpacaEval's length-controlled win rate.
    """

    labels: str | None = None
    metric: Metric | None = None
    qrels: str | None = None
    cutoff: int = 10
    tokenizer: WordTokenizer | None = None
    aggregate: Aggregate | None = None
    baseline: str | None = None
    difficulty: str | None = None

    def __post_init__(self) -> None:
        if self.cutoff < 1:
            raise ConfigError(f"cutoff={self.cutoff}: must be at least 1")


class Outcome:
    """What becomes of a run's shards: by default a result, and nothing to be measured in it.

    merge: the config of what becomes of it. measured_by: keys of EvaluateConfig that count for it. without_failed: what
    else to set to go on without the rows that failed.
    """

    merge: ClassVar[type[MergeConfig]] = MergeConfig
    measured_by: ClassVar[Collection[str]] = ()
    without_failed: ClassVar[str] = ""

    def check(self, run: Run, config: MergeConfig) -> None:
        """Raise ConfigError or InputError for what the end of the run would refuse, before its beginning."""

    def finish(self, folder: Path, config: MergeConfig, max_error_rate: float) -> None:
        """Merge the shards, report, and deliver.

        Raises RunFailed where a shard is missing or more than the share `max_error_rate` of the rows failed, and what
        `deliver` raises.
        """
        start = time.monotonic()
        merged = merge_shards(read_manifest(folder), folder)
        log.info("%s merged in %s", count(merged.rows, "row"), shown(time.monotonic() - start))
        try:
            self.report(folder)
        except OvernightError:
            require_error_rate(merged, max_error_rate, folder, self.without_failed)  # that is why, then
            raise
        failed = f", {merged.failed:,} of them failed" if merged.failed else ""
        print(f"result:     {folder / RESULT} ({merged.rows:,} rows{failed})")
        if (cuts := read_cuts(folder / RESULT)) is not None:
            print(f"cut:        {cuts}")
        require_error_rate(merged, max_error_rate, folder, self.without_failed)
        self.deliver(folder, config)

    def report(self, folder: Path) -> None:
        """Write `metrics.json` and `report.html` of a merged run, and print what they say."""

    def deliver(self, folder: Path, config: MergeConfig) -> None:
        """Write what the result is wanted as, such as a submission."""

    def evaluate(self, folder: Path, config: EvaluateConfig) -> None:
        """Measure a merged run. Raises ConfigError where there is nothing to be measured, or something is missing."""
        raise ConfigError(f"{folder}: there is nothing to measure in a run of jobs.{read_manifest(folder).job}")

    def compare(self, folders: Sequence[Path], config: EvaluateConfig, out: Path) -> None:
        """Measure several merged runs side by side. out: folder of the table and the page.

        folders: of battles also files of submissions.
        """
        raise ConfigError(f"{folders[0]}: runs of jobs.{read_manifest(folders[0]).job} are not compared side by side")

    def score(self, metrics: Mapping[str, object]) -> str | None:
        """The one figure of `metrics.json` that a line about the run shows."""
        return None


def require_error_rate(merged: Merged, max_error_rate: float, folder: Path, without_failed: str = "") -> None:
    """Raise RunFailed where more rows failed than `run.max_error_rate` allows. without_failed: as of an Outcome."""
    if merged.failed > max_error_rate * merged.rows:
        raise RunFailed(
            f"{merged.failed} of {merged.rows} rows failed, more than run.max_error_rate={max_error_rate:g} "
            f"allows; the first: {merged.first_failure} (all of them: {folder / FAILURES}). Mend the cause and run "
            f"again with run.retry_failed=true, or go on without them with a higher run.max_error_rate{without_failed}"
        )


def require_result(folder: Path) -> Path:
    """The result of a run. Raises InputError where it is not merged yet."""
    if not (folder / RESULT).is_file():
        raise InputError(f"{folder}: has no {RESULT} yet; run the job again to finish it")
    return folder / RESULT


def print_places(folder: Path) -> None:
    """Say where metrics and report lie."""
    print(f"metrics:    {folder / METRICS}")
    print(f"report:     {folder / REPORT}")
