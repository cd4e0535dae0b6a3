"""Stages: runs below one folder, each of which reads the result of an earlier one.

A stage's folder is called after its fingerprint, so that whatever asks for the same stage again finds it done.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from lib.data.atomic import write_text
from lib.data.merging import RESULT
from lib.data.shards import FOLDER, unfinished
from lib.log import log
from lib.pipeline.job import JobConfig, begin
from lib.pipeline.run import Recipe, RunConfig, execute, require_error_rate
from lib.pipeline.worker import Spec

STAGES = "stages.json"


@dataclass(frozen=True)
class Stage:
    """A finished stage. seconds: wall time of this session; reused: whether all was there already."""

    name: str
    folder: str
    rows: int
    seconds: float
    reused: bool

    @property
    def result(self) -> str:
        """The table that it made."""
        return str(Path(self.folder) / RESULT)

    @property
    def line(self) -> tuple[str, ...]:
        """A row of the report's table of stages."""
        return (self.name, f"{self.rows:,}", f"{self.seconds:.1f}", "reused" if self.reused else "")


def below(run: RunConfig, root: Path, name: str) -> RunConfig:
    """The config of a stage's run: below the folder `root`, other things as of the whole."""
    return replace(run, root=str(root), name=name, dir=None)


def run_stage(name: str, job: str, config: JobConfig, asked: Recipe) -> Stage:
    """Run a stage, or find it done. Raises what a run of its own would."""
    start = time.monotonic()
    spec = begin(job, config, asked)
    todo, done = unfinished(spec.manifest, spec.folder, retry_failed=config.run.retry_failed)
    reused = not todo and not any(footer.failed for footer in done) and _is_merged(spec)
    if not reused:
        merged = execute(spec, config.run, config.executor)
        require_error_rate(merged, config.run.max_error_rate, spec.folder)
    return _finished(name, spec.folder, start, reused)


def _is_merged(spec: Spec) -> bool:
    """Whether there is a result, and no shard was done again after it."""
    result = spec.folder / RESULT
    shards = (spec.folder / FOLDER / shard.file_name for shard in spec.manifest.shards())
    return result.exists() and all(shard.stat().st_mtime_ns <= result.stat().st_mtime_ns for shard in shards)


def find_or_make(name: str, root: Path, make: Callable[[], Path]) -> Stage:
    """A stage without an engine. make: returns its folder; whether it made anything shows in that being new."""
    start, before = time.monotonic(), {path.parent for path in root.glob(f"*/{RESULT}")}
    folder = make()
    return _finished(name, folder, start, folder in before)


def _finished(name: str, folder: Path, start: float, reused: bool) -> Stage:
    rows = pq.read_metadata(folder / RESULT).num_rows
    stage = Stage(name, str(folder), rows, round(time.monotonic() - start, 1), reused)
    log.info("stage %s: %s rows, %s", name, f"{rows:,}", "reused" if reused else f"{stage.seconds:.1f} s")
    return stage


def write_stages(stages: list[Stage], path: Path) -> None:
    """Write down what was done, and how long it took."""
    write_text(path, json.dumps([asdict(stage) for stage in stages], indent=1, ensure_ascii=False) + "\n")
