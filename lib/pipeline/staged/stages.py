"""Stages: runs below one folder, each of which reads the result of an earlier one.

A stage's folder is called after its fingerprint, so that whatever asks for the same stage again finds it done.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import pyarrow.parquet as pq

from lib.data.atomic import write_text
from lib.data.cuts import read_cuts
from lib.data.run_folder import RESULT
from lib.log import log
from lib.pipeline.executors.bad_rows import as_needed
from lib.pipeline.job import Config, Job
from lib.pipeline.outcomes.base import require_error_rate
from lib.pipeline.run import Run
from lib.pipeline.run_config import RunConfig


@dataclass(frozen=True)
class Stage:
    """A finished stage. seconds: wall time of this session; reused: whether all was there already.

    cut: how much of its texts was cut; "" where its job cuts nothing.
    """

    name: str
    folder: str
    rows: int
    seconds: float
    reused: bool
    cut: str = ""

    @property
    def result(self) -> str:
        """The table that it made."""
        return str(Path(self.folder) / RESULT)

    @property
    def line(self) -> tuple[str, ...]:
        """A row of the report's table of stages."""
        return (self.name, f"{self.rows:,}", f"{self.seconds:.1f}", "reused" if self.reused else "", self.cut or "–")


class StageRunner(Protocol):
    """What works on a stage: name, the job that it is, its config."""

    def __call__(self, name: str, job: Job[Config], config: Config) -> Stage:
        """The stage, done."""


def below(run: RunConfig, root: Path, name: str) -> RunConfig:
    """The config of a stage's run: below the folder `root`, other things as of the whole."""
    return replace(run, root=str(root), name=name, dir=None, out=None)


def run_stage(name: str, job: Job[Config], config: Config) -> Stage:
    """Run a stage, or find it done. Raises what a run of its own would, but makes no report."""
    start = time.monotonic()
    run = job.open(config)
    reused = is_done(run)
    if not reused:
        job.outcome.check(run, config.merge)
        run.work(as_needed(config.executor, run))
        require_error_rate(run.merge(), config.run.max_error_rate, run.folder)
    return finished(name, run.folder, start, reused)


def is_done(run: Run) -> bool:
    """Whether there is a result without failed rows, and no shard was done again after it."""
    todo, done = run.unfinished()
    result = run.folder / RESULT
    if todo or any(footer.failed for footer in done) or not result.exists():
        return False
    shards = (run.folder / shard.path for shard in run.manifest.shards())
    return all(shard.stat().st_mtime_ns <= result.stat().st_mtime_ns for shard in shards)


def find_or_make(name: str, root: Path, make: Callable[[], Path]) -> Stage:
    """A stage without an engine. make: returns its folder; whether it made anything shows in that being new."""
    start, before = time.monotonic(), {path.parent for path in root.glob(f"*/{RESULT}")}
    folder = make()
    return finished(name, folder, start, folder in before)


def write_stages(stages: list[Stage], path: Path) -> None:
    """Write down what was done, and how long it took."""
    write_text(path, json.dumps([asdict(stage) for stage in stages], indent=1, ensure_ascii=False) + "\n")


def finished(name: str, folder: Path, start: float, reused: bool) -> Stage:
    """A stage that is done. start: on the monotonic clock."""
    rows = pq.read_metadata(folder / RESULT).num_rows
    cuts = read_cuts(folder / RESULT)
    seconds = round(time.monotonic() - start, 1)
    stage = Stage(name, str(folder), rows, seconds, reused, "" if cuts is None else str(cuts))
    log.info("stage %s: %s rows, %s", name, f"{rows:,}", "reused" if reused else f"{stage.seconds:.1f} s")
    return stage
