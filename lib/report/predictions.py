"""A finished run's probabilities and labels, read for a report: only the columns it needs, block by block."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.data.battle_files.labels import LabelArray, read_labels
from lib.data.submission import read_submission
from lib.errors import InputError
from lib.log import log
from lib.scoring.probabilities import FloatArray
from lib.types import PROBABILITIES, VERDICTS

BLOCK_ROWS = 65_536
"""Rows in memory at a time."""

_EXAMPLES = 20
_FAILURE_ROWS = 4096


@dataclass(frozen=True)
class Failure:
    """One failed row: where it stands in the input, its id (or None), and why it failed."""

    file: str
    row: int
    id: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a report is about, or a block of it; n rows.

    probabilities: [n, 3] of A, B, tie, NaN where a row failed; labels: [n], -1 where unknown.
    ab, ba: [n, 3] of a judge's two presentation orders, in terms of the original A and B; label_mass: [n].
    score_a, score_b: [n] rewards.
    reasons: how many rows failed for each reason; failures: the first of them.
    """

    probabilities: FloatArray
    labels: LabelArray
    ab: FloatArray | None = None
    ba: FloatArray | None = None
    label_mass: FloatArray | None = None
    score_a: FloatArray | None = None
    score_b: FloatArray | None = None
    reasons: Counter[str] = field(default_factory=Counter)
    failures: tuple[Failure, ...] = ()


def from_result(path: Path) -> Iterator[Predictions]:
    """Read a run's `result.parquet`, at most `BLOCK_ROWS` at a time; the first failures of all are in one block.

    Raises InputError where it is missing or lacks a column, RunFolderError where it is damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; finish the run first (the same command again resumes it)")
    columns = parquet.schema(path).names
    missing = [name for name in (*PROBABILITIES, "label", "error") if name not in columns]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; it has {', '.join(columns)}")
    orders = {order: [f"{order}_{name}" for name in PROBABILITIES] for order in ("ab", "ba")}
    orders = {order: names for order, names in orders.items() if names[0] in columns}
    numbers = [name for name in ("label_mass", "score_a", "score_b") if name in columns]
    wanted = [*PROBABILITIES, "label", "error", *chain(*orders.values()), *numbers]
    failures: tuple[Failure, ...] = ()
    for block in parquet.blocks(path, BLOCK_ROWS, wanted):
        errors = block["error"]
        reasons = Counter({item["values"]: item["counts"] for item in pc.value_counts(errors.drop_null()).to_pylist()})
        probabilities = _stack(block, PROBABILITIES)
        probabilities[errors.is_valid().to_numpy(zero_copy_only=False)] = np.nan  # whatever such a row holds
        first = not failures and bool(reasons)
        failures = failures or (_failures(path) if reasons else ())
        yield Predictions(
            probabilities=probabilities,
            labels=_label_numbers(block["label"], path),
            reasons=reasons,
            failures=failures if first else (),
            **{order: _stack(block, names) for order, names in orders.items()},
            **{name: _floats(block[name]) for name in numbers},
        )


def from_submission(submission: Path, labels: Path, *, partial: bool = False, normalise: bool = False) -> Predictions:
    """Read a submission and look its ids up in a file of labels, as `read_labels` reads it.

    partial: measure the ids that both have, and log how many one of them lacks; ids that only the labels have come
    last, as failed rows, so that the coverage is of all labels. normalise: as of `read_submission`.
    Raises InputError where one has ids that the other lacks, an id is there twice, or a label is none.
    """
    submitted = read_submission(submission, normalise=normalise)
    truth = read_labels(labels)
    ids = truth.ids
    positions = pc.index_in(submitted.ids, value_set=ids)
    foreign = submitted.ids.filter(pc.is_null(positions))
    unmet = pc.is_null(pc.index_in(ids, value_set=submitted.ids))
    lacks = [_lack(submission, labels, ids.filter(unmet)), _lack(labels, submission, foreign)]
    if said := "; ".join(filter(None, lacks)):
        if not partial:
            raise InputError(f"{said}; partial=true measures the ids that both have")
        log.warning("%s: the others are measured", said)
    shared = positions.is_valid().to_numpy(zero_copy_only=False)
    if not shared.any():
        raise InputError(f"{submission} and {labels} have no id in common")
    known, alone = truth.labels, unmet.to_numpy(zero_copy_only=False)
    return Predictions(
        probabilities=np.concatenate([submitted.probabilities[shared], np.full((alone.sum(), 3), np.nan)]),
        labels=np.concatenate([known[positions.drop_null().to_numpy()], known[alone]]),
        reasons=Counter({"not in the submission": int(alone.sum())} if alone.any() else {}),
    )


def _lack(path: Path, other: Path, ids: pa.Array) -> str:
    """That a file lacks ids which the other has, in words; "" where there are none."""
    if not len(ids):
        return ""
    return f"{path} lacks {len(ids):,} ids of {other}, the first of them {', '.join(ids[:5].to_pylist())}"


def _label_numbers(words: pa.Array, path: Path) -> LabelArray:
    """The places of labels among VERDICTS, -1 for null. Raises InputError for another word."""
    numbers = pc.index_in(words.cast(pa.string()), value_set=pa.array(VERDICTS))
    if numbers.null_count != words.null_count:
        raise InputError(f"{path}: a label is none of {', '.join(VERDICTS)} and null")
    return np.asarray(pc.fill_null(numbers, -1), dtype=np.int8)


def _floats(column: pa.Array) -> FloatArray:
    """A column as float64 [n], null as NaN."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _stack(block: pa.RecordBatch, names: Sequence[str]) -> FloatArray:
    return np.stack([_floats(block[name]) for name in names], axis=1)


def _failures(path: Path) -> tuple[Failure, ...]:
    """The first failed rows of all."""
    found: list[Failure] = []
    for batch in parquet.batches(path, _FAILURE_ROWS, ["file", "row", "id", "error"]):
        failed = batch.filter(batch["error"].is_valid()).slice(0, _EXAMPLES - len(found))
        found += [Failure(row["file"], row["row"], row["id"], row["error"]) for row in failed.to_pylist()]
        if len(found) == _EXAMPLES:
            break
    return tuple(found)
