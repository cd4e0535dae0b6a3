"""What is there of a run that is not done: a result and a report of it, which nobody takes for the run's own."""

import html
import io
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pyarrow.compute as pc

from lib.data.atomic import write_text
from lib.data.joining.missing_rows import NOT_YET
from lib.data.joining.run_rows import result_columns, run_rows
from lib.data.manifest import read_manifest
from lib.data.merging import MergeConfig, write_result
from lib.data.parquet import batches, schema, writer
from lib.data.run_folder import (
    CONFIG,
    FAILURES,
    INPUT,
    MADE,
    MANIFEST,
    METRICS,
    REMEMBERED,
    REPEATED,
    REPORT,
    RESULT,
    SHARDS,
    partial_name,
    read_object,
)
from lib.data.shards import unfinished
from lib.data.submission import SubmissionConfig
from lib.errors import ConfigError, OvernightError, RunFailed
from lib.pipeline.outcomes.base import Outcome
from lib.pipeline.rows_of_run import battles_of

_READ = (CONFIG, MANIFEST, INPUT, SHARDS, REMEMBERED, REPEATED)
_ROWS = 4096


def merge_partial(folder: Path, outcome: Outcome, config: MergeConfig) -> None:
    """Write `partial.parquet`, `partial-report.html` and their like from the shards that are done, and print so.

    All rows are in the table, in the order of the input, and in a submission that fills what is missing; of a row that
    is missing, `error` says so. All else is about the rows that are there. Workers may write meanwhile: a shard that is
    done stays so. Raises ConfigError where all of them are done, RunFailed where none is, and what reporting and
    delivering raise.
    """
    manifest = read_manifest(folder)
    todo, done = unfinished(manifest, folder, retry_failed=False)
    if not todo:
        raise ConfigError(f"partial=true: all shards of {folder} are done; leave it out")
    if not done and not any(file.remembered for file in manifest.inputs):
        raise RunFailed(f"{folder}: no shard is done yet; look again later")
    missing, submits = {shard.number for shard in todo}, issubclass(outcome.merge, SubmissionConfig)
    fills = submits and isinstance(config, SubmissionConfig) and config.filler is not None
    with _scratch(folder) as scratch:
        columns = result_columns(manifest, folder, missing)
        data = battles_of(folder, manifest) if fills else None  # a submission names all rows
        merged = write_result(manifest, scratch, columns, run_rows(manifest, folder, missing, data))
        not_yet = _not_yet(scratch / FAILURES)
        there = f"{merged.rows - not_yet:,} of {merged.rows:,} rows"
        view, said = scratch / f"{folder.name}, PARTIAL ({there}, {not_yet:,} {NOT_YET})", io.StringIO()
        _show(folder, view, scratch)
        try:
            with redirect_stdout(said):
                print(f"partial:    {view / RESULT} ({there} are there, {not_yet:,} are {NOT_YET})")
                outcome.report(view)
                if not submits:
                    outcome.deliver(view, config)
                (scratch / RESULT).replace(view / RESULT)
                if submits:
                    _submit(view, outcome, config, not_yet)
        except OvernightError as error:
            error.args = (_of(folder, view, str(error)),)
            raise
        finally:
            if (scratch / RESULT).exists():
                (scratch / RESULT).replace(view / RESULT)
            if unfinished(manifest, folder, retry_failed=False)[0]:
                _mark(view, {"rows": merged.rows, "there": merged.rows - not_yet, "not_yet_computed": not_yet})
                _hand_over(view, folder)
                print(_of(folder, view, said.getvalue()), end="")
            else:  # its end, which removes what is partial, may have been
                print(f"partial:    none, since all shards of {folder} are done now")


def _submit(view: Path, outcome: Outcome, config: MergeConfig, not_yet: int) -> None:
    assert isinstance(config, SubmissionConfig)
    if config.filler is None:
        print("submission: none while rows are missing; merge.on_failed=uniform or prior fills them")
        return
    outcome.deliver(view, config)
    print(f"            {not_yet:,} of them are {NOT_YET}, and filled: merge.on_failed={config.on_failed.value}")


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    scratch = folder / f"merge-{uuid.uuid4().hex[:8]}"
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _not_yet(failures: Path) -> int:
    """How many rows are missing, of those that have no result."""
    return sum(pc.sum(pc.equal(block["error"], NOT_YET)).as_py() or 0 for block in batches(failures, _ROWS))


def _show(folder: Path, view: Path, made: Path) -> None:
    """Make a folder that shows a run as if the rows that are there were all it has, for a report to be written there.

    It has a name of its own, which titles of reports repeat. made: where the result of all rows is.
    """
    view.mkdir()
    for name in _READ:
        if (folder / name).exists():
            (view / name).symlink_to(folder / name)
    for name in (RESULT, FAILURES):
        with writer(view / name, schema(made / name)) as file:
            for block in batches(made / name, _ROWS):
                file.write_batch(block.filter(pc.fill_null(pc.not_equal(block["error"], NOT_YET), True)))


def _mark(view: Path, counts: dict[str, int]) -> None:
    """Say in `metrics.json`, too, that they are of a part."""
    if (view / METRICS).exists():
        content = {"partial": counts, **read_object(view / METRICS)}
        write_text(view / METRICS, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _hand_over(view: Path, folder: Path) -> None:
    """Put what was made into the run folder, in place of what was made before."""
    if (view / REPORT).exists():
        page = (view / REPORT).read_text(encoding="utf-8")
        (view / REPORT).write_text(page.replace(html.escape(str(view)), html.escape(str(folder))), encoding="utf-8")
    for name in MADE:
        if (view / name).exists():
            (view / name).replace(folder / partial_name(name))
        else:
            (folder / partial_name(name)).unlink(missing_ok=True)


def _of(folder: Path, view: Path, text: str) -> str:
    """What was said of the view, as said of the run."""
    for name in MADE:
        text = text.replace(str(view / name), str(folder / partial_name(name)))
    return text.replace(str(view), str(folder))
