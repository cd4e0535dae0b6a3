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
from lib.data.battle_files.label_files import LabelArray, read_labels
from lib.data.repeats import Hashes, text_hashes
from lib.data.run_folder import RESULT
from lib.data.submission import read_submission
from lib.errors import InputError
from lib.log import log
from lib.scoring.inference.estimates import row_keys
from lib.scoring.probabilities import FloatArray
from lib.types import PROBABILITIES, VERDICTS

BLOCK_ROWS = 65_536
"""Rows in memory at a time."""

_QUESTION = "question"
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
    score_a, score_b: [n] rewards. questions: [n] hashes of what was asked, None where that is unknown.
    reasons: how many rows failed for each reason; failures: the first of them.
    """

    probabilities: FloatArray
    labels: LabelArray
    ab: FloatArray | None = None
    ba: FloatArray | None = None
    label_mass: FloatArray | None = None
    score_a: FloatArray | None = None
    score_b: FloatArray | None = None
    questions: Hashes | None = None
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
    asked = [_QUESTION] if _QUESTION in columns else []
    wanted = [*PROBABILITIES, "label", "error", *chain(*orders.values()), *numbers, *asked]
    failures: tuple[Failure, ...] = ()
    rows = 0
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
            questions=_questions(block[_QUESTION], rows) if asked else None,
            **{order: _stack(block, names) for order, names in orders.items()},
            **{name: _floats(block[name]) for name in numbers},
        )
        rows += block.num_rows


def from_submission(submission: Path, labels: Path, *, partial: bool = False, normalise: bool = False) -> Predictions:
    """Read a submission and look its ids up in a file of labels, as `read_labels` reads it.

    partial: measure the ids that both have, and log how many one of them lacks; ids that only the labels have come
    last, as failed rows, so that the coverage is of all labels. normalise: as of `read_submission`.
    Raises InputError where one has ids that the other lacks, an id is there twice, or a label is none.
    """
    submitted = read_submission(submission, normalise=normalise)
    truth = read_labels(labels, questions=True)
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
    alone = np.flatnonzero(unmet.to_numpy(zero_copy_only=False))
    taken = np.concatenate([positions.drop_null().to_numpy(), alone])
    return Predictions(
        probabilities=np.concatenate([submitted.probabilities[shared], np.full((len(alone), 3), np.nan)]),
        labels=truth.labels[taken],
        questions=None if truth.groups is None else truth.groups[taken],
        reasons=Counter({"not in the submission": len(alone)} if len(alone) else {}),
    )


def read_verdicts(path: Path) -> dict[str, str]:
    """The verdict (A, B or tie) of each row with an id that a run of battles, or a submission, has scored.

    Equal best probabilities have the first of their verdicts. Raises as `from_result` and `read_submission` do.
    """
    if path.is_dir():
        blocks = parquet.blocks(path / RESULT, BLOCK_ROWS, ["id"])
        ids = chain.from_iterable(block["id"].to_pylist() for block in blocks)
        probabilities = np.concatenate([block.probabilities for block in from_result(path / RESULT)])
    else:
        read = read_submission(path)
        ids, probabilities = iter(read.ids.to_pylist()), read.probabilities
    scored = ~np.isnan(probabilities).any(axis=1)
    likeliest = np.nan_to_num(probabilities).argmax(axis=1)
    rows = zip(ids, scored.tolist(), likeliest.tolist(), strict=True)
    return {name: VERDICTS[verdict] for name, known, verdict in rows if known and name is not None}


def _lack(path: Path, other: Path, ids: pa.Array) -> str:
    """That a file lacks ids which the other has, in words; "" where there are none."""
    if not len(ids):
        return ""
    return f"{path} lacks {len(ids):,} ids of {other}, the first of them {', '.join(ids[:5].to_pylist())}"


def _questions(names: pa.Array, first: int) -> Hashes | None:
    """Hashes of what was asked; a row of which that is unknown is by itself. first: number of the first row."""
    if names.null_count == len(names):
        return None
    known = names.is_valid().to_numpy(zero_copy_only=False)
    return np.where(known, text_hashes(names), row_keys(first, len(names)))


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
