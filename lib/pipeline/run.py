"""A run: one job with its resolved config and its folder. Running the same line again resumes it."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any

from lib import engines
from lib.config import identity
from lib.data.manifest import FILE_NAME, Manifest, Shard, fingerprint, flatten, read_manifest, refuse_another_plan
from lib.data.merging import FAILURES, Merged, merge_shards
from lib.data.reading import sources
from lib.data.reading.intake import Intake, relocated, take_in
from lib.data.reading.sources import Seen
from lib.data.rows.base import RowsConfig, Verify
from lib.data.rows.kinds import carried
from lib.data.shards import FOLDER, Footer, unfinished
from lib.engines.base import EngineConfig
from lib.errors import ConfigError, InputError, RunFailed, RunFolderError
from lib.log import FILE_NAME as LOG
from lib.log import log, log_to
from lib.pipeline.executors import inline, ray_executor
from lib.pipeline.executors.base import ExecutorConfig
from lib.pipeline.part import WHOLE, ShardsConfig
from lib.pipeline.progress import FILE_NAME as PROGRESS
from lib.pipeline.progress import Progress
from lib.pipeline.stop import Stop
from lib.pipeline.worker import Spec
from lib.tasks.base import Task

_EXECUTORS: Mapping[type[ExecutorConfig], Callable[..., Iterator[Footer]]] = {
    inline.InlineConfig: inline.run,
    ray_executor.RayConfig: ray_executor.run,
}
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


def open_run(job: str, config: RunConfig, asked: Recipe, part: ShardsConfig = WHOLE) -> Spec:
    """Check everything that can be checked without a model, and find or make the run's folder and manifest.

    Processes that do so at once find the same plan. Raises ConfigError, InputError or RunFolderError; the last one
    also where the folder holds another plan.
    """
    data, engine, task = asked.data, asked.engine, asked.task
    _require_own_columns(data, task)
    engines.check(engine, task.method)
    task.check(engines.load_tokenizer(engine), engine.max_model_len)
    keys = {
        "task": task.identity(),
        "engine": {"type": type(engine).__name__, **identity(engine), **engines.identity(engine)},
    }
    folder, manifest = plan_run(job, config, data, keys, part)
    return Spec(root=Path.cwd(), folder=folder, manifest=manifest, data=data, engine=engine, task=task)


def plan_run(
    job: str, config: RunConfig, data: RowsConfig, keys: Mapping[str, Any], part: ShardsConfig = WHOLE
) -> tuple[Path, Manifest]:
    """Find or make the folder and manifest of a run. keys: what changes results, besides the job and its input.

    Raises as `open_run` does.
    """
    keys = flatten({"job": job, **keys, "data": identity(data)})
    known = [] if data.verify is Verify.full else _known_inputs(job, config)
    seen = [sources.look(source, known) for source in sources.resolve(data.path)]
    folder = _folder(job, config, _with_inputs(keys, seen))
    if known and not (folder / FILE_NAME).exists():  # a plan is made from the whole input
        seen = [sources.look(file.source) for file in seen]
        folder = _folder(job, config, _with_inputs(keys, seen))
    keys = _with_inputs(keys, seen)
    _make(folder)
    log_to(folder, _file_name(LOG, part))
    log.info("run folder: %s", folder)
    if not (folder / FILE_NAME).exists():
        _plan(job, config, data, keys, folder, seen)
    manifest = read_manifest(folder)
    refuse_another_plan(manifest, keys, folder)
    manifest = replace(manifest, inputs=relocated(manifest.inputs, seen))
    if config.shard_rows not in (None, manifest.shard_rows):
        log.info("run.shard_rows=%s: the run keeps its shards of %s rows", config.shard_rows, manifest.shard_rows)
    return folder, manifest


def execute(spec: Spec, config: RunConfig, executor: ExecutorConfig) -> Merged:
    """Work on all unfinished shards, then merge. Raises what `work` and `merge_shards` raise."""
    work(spec, config, executor)
    return merge_shards(spec.manifest, spec.folder)


def work(spec: Spec, config: RunConfig, executor: ExecutorConfig, part: ShardsConfig = WHOLE) -> None:
    """Work on the unfinished shards of a run, or of a part of it.

    Raises Stopped after a signal, RunFailed where so many rows fail that more than rows must be at fault.
    """
    manifest, folder = spec.manifest, spec.folder
    todo, done = unfinished(manifest, folder, retry_failed=config.retry_failed)
    todo, done = [shard for shard in todo if part.has(shard.number)], [foot for foot in done if part.has(foot.shard)]
    rows = sum(shard.rows for shard in todo) + sum(footer.rows for footer in done)
    log.info("%s rows in %s shards; %s shards to do", f"{rows:,}", len(todo) + len(done), len(todo))
    if todo:
        name = _file_name(PROGRESS, part)
        with Stop(config.grace_seconds) as stop, Progress(folder, rows, done, name) as progress:
            for footer in run_shards(executor, spec, todo, stop):
                progress.add(footer)
                _require_sound_engine(progress, config)
            stop.raise_if_requested()


def run_shards(executor: ExecutorConfig, spec: Spec, shards: Sequence[Shard], stop: Stop) -> Iterator[Footer]:
    """Work on shards where the executor's config says; yield each footer as it is committed."""
    return _EXECUTORS[type(executor)](executor, spec, shards, stop)


def require_error_rate(merged: Merged, max_error_rate: float, folder: Path) -> None:
    """Raise RunFailed where more rows failed than `run.max_error_rate` allows."""
    if merged.failed > max_error_rate * merged.rows:
        raise RunFailed(
            f"{merged.failed} of {merged.rows} rows failed, more than run.max_error_rate={max_error_rate:g} "
            f"allows; the first: {merged.first_failure} (all of them: {folder / FAILURES}). Mend the cause and run "
            "again with run.retry_failed=true, or go on without them with a higher run.max_error_rate and, for a "
            "submission, merge.on_failed=uniform or prior"
        )


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


def _known_inputs(job: str, config: RunConfig) -> list[Seen]:
    """The inputs of the runs of which this may be one, as they were when they were planned."""
    runs = [Path(config.dir)] if config.dir else Path(config.root).glob(f"{escape(f'{job}-{config.name}-')}*")
    known: list[Seen] = []
    for folder in runs:
        with suppress(RunFolderError):  # whoever opens that run will hear of it
            known += [file.seen for file in read_manifest(folder).inputs]
    return known


def _with_inputs(keys: Mapping[str, Any], seen: Sequence[Seen]) -> dict[str, Any]:
    return {**keys, **{f"input.{number}": file.sha256 for number, file in enumerate(seen)}}


def _folder(job: str, config: RunConfig, keys: Mapping[str, Any]) -> Path:
    name = f"{job}-{config.name}-{fingerprint(keys)[:8]}"
    return (Path(config.dir) if config.dir else Path(config.root) / name).resolve()


def _plan(
    job: str, config: RunConfig, data: RowsConfig, keys: Mapping[str, Any], folder: Path, seen: Sequence[Seen]
) -> None:
    if any((folder / FOLDER).iterdir()):
        raise RunFolderError(f"{folder} has shards, but no {FILE_NAME} that says whose; use another run.dir")
    intake = take_in(data, folder, f"-{fingerprint(keys)[:8]}", seen)
    log.info("%s", intake.report)
    _require_intake(intake, config)
    manifest = Manifest(
        job=job,
        fingerprint=fingerprint(keys),
        identity=keys,
        inputs=tuple(intake.inputs),
        shard_rows=config.shard_rows or _shard_rows(sum(file.rows for file in intake.inputs)),
    )
    manifest.write(folder)


def _file_name(name: str, part: ShardsConfig) -> str:
    """The name of a file of this process: elements of a job array share the run folder."""
    path = Path(name)
    return f"{path.stem}{part.suffix}{path.suffix}"


def _require_intake(intake: Intake, config: RunConfig) -> None:
    """Raise InputError where the input has more bad rows than may fail."""
    report = intake.report
    if report.bad_rows > config.max_error_rate * report.chosen:
        raise InputError(
            f"{report.bad_rows} of {report.chosen} rows are bad, more than run.max_error_rate="
            f"{config.max_error_rate:g} allows; raise it, or mend the rows (data.on_bad_row=fail names them)"
        )


def _make(folder: Path) -> None:
    try:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
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
