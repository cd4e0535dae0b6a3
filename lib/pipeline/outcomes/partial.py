"""What is there of a run that is not done: a result and a report of it, which nobody takes for the run's own."""

import html
import io
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pyarrow.compute as pc

from lib.data.joining.missing_rows import NOT_YET
from lib.data.joining.run_rows import result_columns, run_rows
from lib.data.manifest import read_manifest
from lib.data.merging import MergeConfig, write_result
from lib.data.parquet import batches
from lib.data.run_folder import (
    CONFIG,
    FAILURES,
    INPUT,
    MADE,
    MANIFEST,
    REMEMBERED,
    REPEATED,
    REPORT,
    RESULT,
    SHARDS,
    partial_name,
)
from lib.data.shards import unfinished
from lib.data.submission import SubmissionConfig
from lib.errors import ConfigError, RunFailed
from lib.pipeline.outcomes.base import Outcome

_READ = (CONFIG, MANIFEST, INPUT, SHARDS, REMEMBERED, REPEATED)
_ROWS = 65_536


def merge_partial(folder: Path, outcome: Outcome, config: MergeConfig) -> None:
    """Write `partial.parquet`, `partial-report.html` and their like from the shards that are done, and print so.

    All rows are in it, in the order of the input; of those that are missing, `error` says so. Workers may write
    meanwhile: a shard that is done stays so. Raises ConfigError where all of them are done, RunFailed where none is,
    and what reporting and delivering raise.
    """
    manifest = read_manifest(folder)
    todo, done = unfinished(manifest, folder, retry_failed=False)
    if not todo:
        raise ConfigError(f"partial=true: all shards of {folder} are done; leave it out")
    if not done and not any(file.remembered for file in manifest.inputs):
        raise RunFailed(f"{folder}: no shard is done yet; look again later")
    missing = {shard.number for shard in todo}
    with _scratch(folder) as scratch:
        columns = result_columns(manifest, folder, missing)
        merged = write_result(manifest, scratch, columns, run_rows(manifest, folder, missing))
        there = f"{merged.rows - _not_yet(scratch):,} of {merged.rows:,} rows"
        view, said = scratch / f"{folder.name}, PARTIAL ({there})", io.StringIO()
        _show(folder, view, scratch)
        try:
            with redirect_stdout(said):
                print(f"partial:    {view / RESULT} ({there} are there)")
                outcome.report(view)
                if isinstance(config, SubmissionConfig) and config.filler is None:
                    print("submission: none while rows are missing; merge.on_failed=uniform or prior fills them")
                else:
                    outcome.deliver(view, config)
        finally:
            _hand_over(view, folder)
            print(_of(folder, view, said.getvalue()), end="")


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    scratch = folder / f"merge-{uuid.uuid4().hex[:8]}"
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _not_yet(folder: Path) -> int:
    """How many rows are missing, of those that have no result."""
    return sum(pc.sum(pc.equal(block["error"], NOT_YET)).as_py() or 0 for block in batches(folder / FAILURES, _ROWS))


def _show(folder: Path, view: Path, made: Path) -> None:
    """Make a folder that shows a run, and beside it the result that was made of it, for a report to be written there.

    It has a name of its own, which titles of reports repeat.
    """
    view.mkdir()
    for name in _READ:
        if (folder / name).exists():
            (view / name).symlink_to(folder / name)
    for name in (RESULT, FAILURES):
        (made / name).replace(view / name)


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
