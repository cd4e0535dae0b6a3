"""Votes of judges: the probabilities in the results of finished runs of battles."""

from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.data.manifest import Manifest, read_manifest
from lib.data.rows.style_counts import style_counts
from lib.data.rows.votes import question_hashes
from lib.data.run_folder import RESULT
from lib.errors import ConfigError, InputError
from lib.pipeline.outcomes.base import require_result
from lib.pipeline.rows_of_run import battles_of, rows_of
from lib.types import PROBABILITIES

_BLOCK_ROWS = 65_536
_JUDGES = ("judge", "arena", "tournament")


def run_folders(runs: object) -> list[Path]:
    """The folders that `runs` names: a folder or glob, or a list of these, each once and in its order.

    Raises ConfigError for anything else, InputError where a glob matches no finished run.
    """
    paths = [path for path in (runs if isinstance(runs, list) else [runs]) if isinstance(path, str) and path]
    if not paths or (isinstance(runs, list) and len(paths) < len(runs)):
        raise ConfigError(f"runs={runs}: must be a run folder, a glob in quotes, or a list of these")
    folders: list[Path] = []
    for path in paths:
        found = [Path(path)] if Path(path).is_dir() else [Path(place) for place in sorted(glob(path))]
        found = [folder for folder in found if folder == Path(path) or (folder / RESULT).is_file()]
        if not found:
            raise InputError(f"runs={path}: matches no folder of a finished run")
        folders += [folder for folder in found if folder.resolve() not in [known.resolve() for known in folders]]
    return folders


def run_votes(folders: Sequence[Path], *, category: str | None, styled: bool) -> Iterator[pa.Table]:
    """The votes of runs, block by block: models, question (its hash), probabilities, category, counts of style, error.

    Raises InputError for a run of another kind, one that isn't merged, or whose result lacks a column; where the style
    counts, also for one whose input is not there as it was.
    """
    columns = [_columns(folder, category) for folder in folders]  # all are looked at before any is read
    for folder, wanted in zip(folders, columns, strict=True):
        counts = _counts(folder, read_manifest(folder)) if styled else None
        for batch in parquet.blocks(folder / RESULT, _BLOCK_ROWS, wanted):
            block = pa.Table.from_batches([batch])
            _require_models(block, folder)
            place = block.column_names.index("question")
            block = block.set_column(place, "question", question_hashes(block["question"].combine_chunks()))
            if category is not None:
                block = block.append_column("category", block[category].cast(pa.string()))
            if counts is not None:
                for name, column in next(counts).items():
                    block = block.append_column(name, column)
            yield block


def _columns(folder: Path, category: str | None) -> list[str]:
    job = read_manifest(folder).job
    if job not in _JUDGES:
        raise InputError(f"{folder}: is a run of jobs.{job}; votes are in those of {', '.join(_JUDGES)}")
    there = parquet.schema(require_result(folder)).names
    wanted = ["model_a", "model_b", "question", *PROBABILITIES, "error"]
    if missing := [name for name in wanted if name not in there]:
        raise InputError(f"{folder / RESULT}: no column {', '.join(missing)}; run the job again, in another run.dir")
    if category is not None and category not in there:
        raise InputError(
            f"leaderboard.category={category}: {folder / RESULT} has no such column; it has {', '.join(there)}"
        )
    return list(dict.fromkeys([*wanted, *([] if category is None else [category])]))


def _require_models(block: pa.Table, folder: Path) -> None:
    usable = block.filter(block["error"].is_null())
    for side in ("model_a", "model_b"):
        if usable[side].null_count:
            raise InputError(
                f"{folder / RESULT}: rows without {side}, so it is unknown who won; run the job again with a table "
                f"that names both models (data.columns.{side}=NAME where its column is called otherwise)"
            )
    if pc.any(pc.equal(usable["model_a"], usable["model_b"])).as_py():
        raise InputError(f"{folder / RESULT}: rows with one model on both sides; a vote is between two models")


def _counts(folder: Path, manifest: Manifest) -> Iterator[dict[str, pa.Array]]:
    """The counts of style in the answers of a run, in blocks of its result, read from its input again."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in rows_of(folder, manifest, battles_of(folder, manifest)):
        found = {
            f"{name}_{side}": count
            for side in "ab"
            for name, count in style_counts(table[f"response_{side}"].combine_chunks()).items()
        }
        waiting.append(pa.table(found))
        rows += table.num_rows
        while rows >= _BLOCK_ROWS:
            whole = pa.concat_tables(waiting).combine_chunks()
            yield _arrays(whole.slice(0, _BLOCK_ROWS))
            waiting, rows = [whole.slice(_BLOCK_ROWS)], rows - _BLOCK_ROWS
    if rows:
        yield _arrays(pa.concat_tables(waiting).combine_chunks())


def _arrays(table: pa.Table) -> dict[str, pa.Array]:
    return {name: table[name].combine_chunks() for name in table.column_names}
