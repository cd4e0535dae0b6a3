"""The rows that two runs of battles, or two submissions, have in common, with the probabilities of both."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.data.battle_files.label_files import LabelArray, LabelFile
from lib.data.manifest import read_manifest
from lib.data.repeats import Hashes
from lib.data.run_folder import RESULT
from lib.data.submission import read_submission
from lib.errors import InputError
from lib.log import log
from lib.report.predictions import BLOCK_ROWS, from_result
from lib.scoring.inference.estimates import row_keys
from lib.scoring.probabilities import FloatArray
from lib.types import VERDICTS

_PLACE = ("file", "row", "id")


@dataclass(frozen=True, kw_only=True)
class Side:
    """Rows of one of two. names: [n] strings, ids or places; probabilities: [n, 3], NaN where a row failed; labels:
    [n], -1 where unknown; questions: [n], None where unknown."""

    names: pa.Array
    probabilities: FloatArray
    labels: LabelArray
    questions: Hashes | None


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Rows that both have. first, second: [n, 3] probabilities; all else as of `Side`, but that each has a question."""

    names: pa.Array
    first: FloatArray
    second: FloatArray
    labels: LabelArray
    questions: Hashes
    by_question: bool


def paired(first: Path, second: Path, labels: LabelFile | None) -> Iterator[Paired]:
    """The rows that both have, block by block. first, second: run folders, or submissions. labels: by id, in place of
    those of the runs.

    Runs of the same rows are read side by side, in flat memory; others are joined by their ids, for which both are held
    (some 100 bytes a row). Raises InputError where no row is in both, rows can't be told apart, or labels differ.
    """
    if first.is_dir() and second.is_dir() and _same_rows(first, second):
        sides: Iterator[tuple[Side, Side]] = zip(_of_run(first), _of_run(second), strict=True)
    else:
        sides = iter([_joined(first, second)])
    row = 0
    for one, other in sides:
        one, other = (_labelled(side, labels) for side in (one, other))
        questions = other.questions if one.questions is None else one.questions
        yield Paired(
            names=one.names,
            first=one.probabilities,
            second=other.probabilities,
            labels=_agreed(one, other, first, second),
            questions=row_keys(row, len(one.names)) if questions is None else questions,
            by_question=questions is not None,
        )
        row += len(one.names)


def _same_rows(first: Path, second: Path) -> bool:
    """Whether two runs are about the same rows in the same order."""
    inputs = [[(file.sha256, file.rows) for file in read_manifest(folder).inputs] for folder in (first, second)]
    if inputs[0] != inputs[1]:
        return False
    both = (parquet.blocks(folder / RESULT, BLOCK_ROWS, ["row", "id"]) for folder in (first, second))
    return all(one.equals(other) for one, other in zip(*both, strict=True))


def _of_run(folder: Path) -> Iterator[Side]:
    """The rows of a run, block by block."""
    result = folder / RESULT
    has_ids = any(block["id"].null_count < len(block) for block in parquet.blocks(result, BLOCK_ROWS, ["id"]))
    places = parquet.blocks(result, BLOCK_ROWS, _PLACE)
    for place, found in zip(places, from_result(result), strict=True):
        file, row = (place[name].cast(pa.string()) for name in ("file", "row"))
        yield Side(
            names=place["id"].cast(pa.string()) if has_ids else pc.binary_join_element_wise(file, row, ", row "),
            probabilities=found.probabilities,
            labels=found.labels,
            questions=found.questions,
        )


def _whole(path: Path) -> Side:
    """All rows of a run, or of a submission; without those that have no name."""
    if not path.is_dir():
        read = read_submission(path)
        unknown = np.full(len(read.ids), -1, np.int8)
        return Side(names=read.ids, probabilities=read.probabilities, labels=unknown, questions=None)
    blocks = list(_of_run(path))
    asked = [block.questions for block in blocks if block.questions is not None]
    found = Side(
        names=pa.concat_arrays([block.names for block in blocks]),
        probabilities=np.concatenate([block.probabilities for block in blocks]),
        labels=np.concatenate([block.labels for block in blocks]),
        questions=np.concatenate(asked) if len(asked) == len(blocks) else None,
    )
    return _taken(found, pc.indices_nonzero(found.names.is_valid()).to_numpy())


def _joined(first: Path, second: Path) -> tuple[Side, Side]:
    one, other = _whole(first), _whole(second)
    places = pc.index_in(other.names, value_set=one.names)
    here = places.is_valid().to_numpy(zero_copy_only=False)
    if not here.any():
        raise InputError(
            f"{first} and {second} have no row in common: rows are paired by their ids (without ids, by file and row); "
            f"the first of each are {one.names[:1].to_pylist()} and {other.names[:1].to_pylist()}"
        )
    alone = [int(len(side.names) - here.sum()) for side in (one, other)]
    if any(alone):
        log.info("%s, %s: rows that only one of them has: %s, %s; the others are compared", first, second, *alone)
    order = places.drop_null().to_numpy()
    sorting = np.argsort(order)  # in the order of the first
    return _taken(one, order[sorting]), _taken(other, np.flatnonzero(here)[sorting])


def _taken(side: Side, places: npt.NDArray[Any]) -> Side:
    return Side(
        names=side.names.take(pa.array(places)),
        probabilities=side.probabilities[places],
        labels=side.labels[places],
        questions=None if side.questions is None else side.questions[places],
    )


def _labelled(side: Side, labels: LabelFile | None) -> Side:
    """The same rows with the labels of a file, and its questions where it has any."""
    if labels is None:
        return side
    places = pc.index_in(side.names, value_set=labels.ids)
    known = places.is_valid().to_numpy(zero_copy_only=False)
    at = pc.fill_null(places, 0).to_numpy()
    given = np.where(known, labels.labels[at], -1).astype(np.int8)
    if labels.groups is None or not known.all():
        return replace(side, labels=given)
    return replace(side, labels=given, questions=labels.groups[at])


def _agreed(one: Side, other: Side, first: Path, second: Path) -> LabelArray:
    """The labels of both, known where one of them knows. Raises InputError where they contradict each other."""
    differs = (one.labels >= 0) & (other.labels >= 0) & (one.labels != other.labels)
    if differs.any():
        row = int(np.argmax(differs))
        said = [VERDICTS[side.labels[row]] for side in (one, other)]
        raise InputError(
            f"{first} and {second}: {one.names[row]} is labelled {said[0]} in the one and {said[1]} in the other; "
            "labels=FILE says which holds"
        )
    return np.where(one.labels >= 0, one.labels, other.labels)
