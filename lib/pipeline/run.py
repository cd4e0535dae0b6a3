"""A run: one job with its resolved config and its folder. Running the same line again resumes it."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from lib.config import identity
from lib.data.manifest import Manifest, Shard, fingerprint, flatten, read_manifest, refuse_another_plan
from lib.data.merging import Merged, merge_shards
from lib.data.reading import sources
from lib.data.reading.intake import Intake, relocated, take_in
from lib.data.rows.base import RowsConfig
from lib.data.rows.kinds import carried
from lib.data.run_folder import LOG, MANIFEST, PROGRESS, SHARDS
from lib.data.shards import Footer, unfinished
from lib.engines.base import EngineConfig
from lib.errors import ConfigError, InputError, RunFailed, RunFolderError
from lib.log import log, log_to
from lib.pipeline.array import ArrayConfig
from lib.pipeline.progress import Progress
from lib.pipeline.stop import Stop
from lib.tasks.base import Task

_BROKEN_AFTER = 100  # rows after which a majority of failed ones means that the engine is at fault


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The run folder and what is done about failures. None of it changes results.

    name: part of the default folder's name; dir: the folder, null for <root>/<job>-<name>-<fingerprint>.
    shard_rows: rows of a shard, null for about 200 shards of 8 to 1,024 rows. max_error_rate: share of rows that
    may fail before the run counts as failed. retry_failed: do the shards with failed rows again.
    grace_seconds: how long shards in flight may go on after a signal to stop.
    """

    name: str = "run"
    root: str = "runs"
    dir: str | None = None
    shard_rows: int | None = None
    max_error_rate: float = 0.0
    retry_failed: bool = False
    grace_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.shard_rows is not None and self.shard_rows < 1:
            raise ConfigError(f"run.shard_rows={self.shard_rows}: must be at least 1")
        if not 0 <= self.max_error_rate <= 1:
            raise ConfigError(f"run.max_error_rate={self.max_error_rate}: must be in [0, 1]")
        if self.grace_seconds < 0:
            raise ConfigError(f"run.grace_seconds={self.grace_seconds}: must not be negative")
        if self.dir is not None and "://" in self.dir:
            raise ConfigError(
                f"run.dir={self.dir}: a run folder needs a file system that renames files, which object stores don't; "
                "give a folder (data.path may be a URL), and copy the result afterwards"
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is asked (task), of whom (engine), about which rows (data)."""

    data: RowsConfig
    engine: EngineConfig
    task: Task


class Executor(Protocol):
    """Where shards are worked on."""

    def run(self, run: "Run", shards: Sequence[Shard], stop: Stop) -> Iterator[Footer]:
        """Work on shards; yield each one's footer as it is committed. Returns early where `stop` asks for it."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is planned: all that a worker needs to know, and sent to each of them.

    root: the folder that relative paths start from.
    """

    root: Path
    folder: Path
    manifest: Manifest
    config: RunConfig
    data: RowsConfig
    engine: EngineConfig
    task: Task

    @staticmethod
    def open(job: str, config: RunConfig, recipe: Recipe, array: ArrayConfig | None = None) -> "Run":
        """Check everything that can be checked without a model, and find or make the run's folder and manifest.

        Processes that do so at once find the same plan. Raises ConfigError, InputError or RunFolderError; the last one
        also where the folder holds another plan.
        """
        data, engine, task = recipe.data, recipe.engine, recipe.task
        _require_own_columns(data, task)
        engine.check(task.method)
        task.check(engine.load_tokenizer(), engine.max_tokens)
        keys = {
            "task": task.identity(),
            "engine": {"type": type(engine).__name__, **identity(engine), **engine.identity()},
        }
        folder, manifest = find_or_plan(job, config, data, keys, array or ArrayConfig())
        return Run(
            root=Path.cwd(), folder=folder, manifest=manifest, config=config, data=data, engine=engine, task=task
        )

    def work(self, executor: Executor, array: ArrayConfig | None = None) -> None:
        """Work on all unfinished shards, or on those of an array's element.

        Raises Stopped after a signal, RunFailed where so many rows fail that more than rows must be at fault.
        """
        array = array or ArrayConfig()
        todo, done = self.unfinished()
        todo = [shard for shard in todo if array.has(shard.number)]
        done = [footer for footer in done if array.has(footer.shard)]
        rows = sum(shard.rows for shard in todo) + sum(footer.rows for footer in done)
        log.info("%s rows in %s shards; %s shards to do", f"{rows:,}", len(todo) + len(done), len(todo))
        if not todo:
            return
        name = array.file(PROGRESS)
        with Stop(self.config.grace_seconds) as stop, Progress(self.folder, rows, done, name) as progress:
            for footer in executor.run(self, todo, stop):
                progress.add(footer)
                _require_sound_engine(progress, self.config)
            stop.raise_if_requested()

    def merge(self) -> Merged:
        """Write `result.parquet` and `failures.parquet`. Raises RunFailed where a shard is missing."""
        return merge_shards(self.manifest, self.folder)

    def unfinished(self) -> tuple[list[Shard], list[Footer]]:
        """The shards still to be done, and the footers of those that are; as `run.retry_failed` says."""
        return unfinished(self.manifest, self.folder, retry_failed=self.config.retry_failed)


def find_or_plan(
    job: str, config: RunConfig, data: RowsConfig, keys: Mapping[str, Any], array: ArrayConfig
) -> tuple[Path, Manifest]:
    """Find or make the folder and manifest of a run. keys: what changes results, besides the job and its input.

    Raises as `Run.open` does.
    """
    inputs = {str(n): sources.content_hash(source) for n, source in enumerate(sources.resolve(data.path))}
    keys = flatten({"job": job, **keys, "data": identity(data), "input": inputs})
    name = f"{job}-{config.name}-{fingerprint(keys)[:8]}"
    folder = (Path(config.dir) if config.dir else Path(config.root) / name).resolve()
    _make(folder)
    log_to(folder / array.file(LOG))
    log.info("run folder: %s", folder)
    if not (folder / MANIFEST).exists():
        _plan(job, config, data, keys, folder)
    manifest = read_manifest(folder)
    refuse_another_plan(manifest, keys, folder)
    manifest = replace(manifest, inputs=relocated(manifest.inputs, data))
    if config.shard_rows not in (None, manifest.shard_rows):
        log.info("run.shard_rows=%s: the run keeps its shards of %s rows", config.shard_rows, manifest.shard_rows)
    return folder, manifest


def _require_sound_engine(progress: Progress, config: RunConfig) -> None:
    share = max(0.5, config.max_error_rate)
    if progress.rows >= _BROKEN_AFTER and progress.failed > share * progress.rows:
        raise RunFailed(
            f"{progress.failed} of the first {progress.rows} rows failed: that is the engine or the whole input, not "
            "single rows. Look at the `error` column in shards/, mend it, and run again with run.retry_failed=true"
        )


def _require_own_columns(data: RowsConfig, task: Task) -> None:
    """Raise ConfigError where a column that is carried along would hide one of the task's."""
    if both := sorted(set(carried(data)).intersection(task.schema.names)):
        raise ConfigError(
            f"data.carry: {', '.join(both)} is also a column of this job's result; leave it out, or rename it first"
        )


def _plan(job: str, config: RunConfig, data: RowsConfig, keys: Mapping[str, Any], folder: Path) -> None:
    if any((folder / SHARDS).iterdir()):
        raise RunFolderError(f"{folder} has shards, but no {MANIFEST} that says whose; use another run.dir")
    intake = take_in(data, folder, f"-{fingerprint(keys)[:8]}")
    log.info("%s", intake.report)
    _require_intake(intake, keys, config)
    manifest = Manifest(
        job=job,
        fingerprint=fingerprint(keys),
        identity=keys,
        inputs=tuple(intake.inputs),
        shard_rows=config.shard_rows or _shard_rows(sum(file.rows for file in intake.inputs)),
    )
    manifest.write(folder)


def _require_intake(intake: Intake, keys: Mapping[str, Any], config: RunConfig) -> None:
    """Raise InputError where the input changed since it was hashed, or has more bad rows than may fail."""
    for number, file in enumerate(intake.inputs):
        if keys[f"input.{number}"] != file.sha256:
            raise InputError(f"{file.source}: was changed while it was read; run the same line again")
    report = intake.report
    if report.bad_rows > config.max_error_rate * report.chosen:
        raise InputError(
            f"{report.bad_rows} of {report.chosen} rows are bad, more than run.max_error_rate="
            f"{config.max_error_rate:g} allows; raise it, or mend the rows (data.on_bad_row=fail names them)"
        )


def _make(folder: Path) -> None:
    try:
        (folder / SHARDS).mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RunFolderError(
            f"run.dir={folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error


def _shard_rows(rows: int) -> int:
    """About 200 shards, so that progress shows and little is lost, of a size that still fills batches."""
    return min(max(-(-rows // 200), 8), 1024)
