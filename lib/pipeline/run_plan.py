"""Finding the plan of a run, or making it: its folder, its input laid ready, its manifest."""

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from glob import escape
from pathlib import Path

from lib.config import identity
from lib.data.atomic import remove_leftovers
from lib.data.image_files import contents_hash
from lib.data.manifest import Manifest, fingerprint, flatten, read_manifest, refuse_another_plan
from lib.data.reading import sources
from lib.data.reading.input_file import InputFile, relocated
from lib.data.reading.intake import Intake, take_in
from lib.data.reading.sources import Seen
from lib.data.rows.base import Rows, Verify
from lib.data.rows.checking import require_columns
from lib.data.run_folder import LEFTOVERS, LOG, MANIFEST, PLANNED, SHARDS
from lib.errors import InputError, OvernightError, RunFolderError
from lib.log import log, log_to
from lib.pipeline.array import ArrayConfig
from lib.pipeline.planning.division import Division
from lib.pipeline.run_config import RunConfig

_SHARD_BYTES = 128 << 20


def find_or_plan(
    job: str,
    config: RunConfig,
    data: Rows,
    keys: Mapping[str, object],
    array: ArrayConfig,
    begin: Callable[[Path], Division | None] = lambda _: None,
) -> tuple[Path, Manifest]:
    """Find or make the folder and manifest of a run. keys: what changes results, besides the job and its input.

    begin: called before an input is taken in, checks what is to be asked, and says how its rows are divided, in a
    folder for what that takes meanwhile; None: all of them are asked. Raises as `Run.open` does.
    """
    keys = flatten({"job": job, **keys, "data": identity(data)})
    if data.shows_files:
        keys["input.images"] = contents_hash(data.shown_files())
    known = [] if data.verify is Verify.full else _known_inputs(job, config)
    seen = [sources.look(source, known) for source in data.sources()]
    folder = _folder(job, config, _with_inputs(keys, seen))
    if known and not (folder / MANIFEST).exists():  # a plan is made from the whole input
        seen = [sources.look(file.source) for file in seen]
        folder = _folder(job, config, _with_inputs(keys, seen))
    keys = _with_inputs(keys, seen)
    if not (folder / MANIFEST).exists():
        require_columns(data, [file.source for file in seen])  # at once: what is asked is checked with a tokenizer
    fresh = [place for place in (folder, *folder.parents) if not place.exists()]
    _make(folder)
    log_to(folder / array.file(LOG))
    log.info("run folder: %s", folder)
    remove_leftovers(folder, LEFTOVERS)
    if not (folder / MANIFEST).exists():
        try:
            with _scratch(folder) as scratch:
                _plan(job, config, data, keys, folder, seen, begin(scratch), scratch.name)
        except OvernightError:
            if fresh:
                _unmake(folder, fresh, scratch.name, array)
            raise
    manifest = read_manifest(folder)
    refuse_another_plan(manifest, keys, folder)
    ours = {path for file in manifest.inputs for path in (file.parquet, file.remembered_parquet, file.repeated_parquet)}
    remove_leftovers(folder, PLANNED, keep=ours)
    manifest = replace(manifest, inputs=relocated(manifest.inputs, seen))
    if config.shard_rows not in (None, manifest.shard_rows):
        log.info("run.shard_rows=%s: the run keeps its shards of %s rows", config.shard_rows, manifest.shard_rows)
    return folder, manifest


def _known_inputs(job: str, config: RunConfig) -> list[Seen]:
    """The inputs of the runs of which this may be one, as they were when they were planned."""
    runs = [Path(config.dir)] if config.dir else Path(config.root).glob(f"{escape(f'{job}-{config.name_in_folder}-')}*")
    known: list[Seen] = []
    for folder in runs:
        with suppress(RunFolderError):  # whoever opens that run will hear of it
            known += [file.seen for file in read_manifest(folder).inputs]
    return known


def _with_inputs(keys: Mapping[str, object], seen: Sequence[Seen]) -> dict[str, object]:
    return {**keys, **{f"input.{number}": file.sha256 for number, file in enumerate(seen)}}


def _folder(job: str, config: RunConfig, keys: Mapping[str, object]) -> Path:
    name = f"{job}-{config.name_in_folder}-{fingerprint(keys)[:8]}"
    return (Path(config.dir) if config.dir else Path(config.root) / name).resolve()


def _plan(
    job: str,
    config: RunConfig,
    data: Rows,
    keys: Mapping[str, object],
    folder: Path,
    seen: Sequence[Seen],
    division: Division | None,
    own: str,
) -> None:
    """own: part of the names of this plan's files: another process may plan the same at once."""
    if any((folder / SHARDS).iterdir()):
        raise RunFolderError(f"{folder} has shards, but no {MANIFEST} that says whose; use another run.dir")
    intake = take_in(data, folder, f"-{own}", seen, division.add if division else None)
    log.info("%s", intake.report)
    _require_intake(intake, config)
    inputs = division.divide(intake.inputs, folder) if division else intake.inputs
    manifest = Manifest(
        job=job,
        fingerprint=fingerprint(keys),
        identity=keys,
        inputs=tuple(inputs),
        shard_rows=config.shard_rows or _shard_rows(sum(file.asked for file in inputs), _size(inputs, folder)),
    )
    if manifest.write(folder):
        if division:
            division.report(manifest, folder)
    else:
        for path in folder.glob(f"*/*{own}*.parquet"):
            path.unlink()


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for what planning takes meanwhile."""
    scratch = folder / f"plan-{uuid.uuid4().hex[:8]}"
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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
        (folder / SHARDS).mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RunFolderError(
            f"run.dir={folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error


def _unmake(folder: Path, made: Sequence[Path], own: str, array: ArrayConfig) -> None:
    """Remove the folder of a run that was refused, unless another process has planned it meanwhile.

    made: the folders that were made for it, the run's own first.
    """
    for path in folder.glob(f"*/*{own}*.parquet"):
        path.unlink(missing_ok=True)
    if not (folder / MANIFEST).exists():
        (folder / array.file(LOG)).unlink(missing_ok=True)
        for place in (*(path for path in folder.iterdir() if path.is_dir()), *made):
            with suppress(OSError):  # somebody's files are in it
                place.rmdir()


def _size(inputs: Sequence[InputFile], folder: Path) -> int:
    """Bytes of the rows that lie ready in the run folder."""
    return sum((folder / file.parquet).stat().st_size for file in inputs if file.canonical)


def _shard_rows(rows: int, size: int = 0) -> int:
    """About 200 shards, so that progress shows and little is lost, of a size that still fills batches.

    size: bytes of these rows: a shard is read whole, and rows with images are large.
    """
    usual = min(max(-(-rows // 200), 8), 1024)
    return max(min(usual, _SHARD_BYTES * max(rows, 1) // max(size, 1)), 1)
