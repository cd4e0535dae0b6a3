"""Labelled rows to fit a calibration on: of a run, of several, or of a submission with a file of labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.data.battle_files.blended_files import aligned
from lib.data.battle_files.groups import Groups, groups_of_ids
from lib.data.battle_files.label_files import read_labels
from lib.data.manifest import Manifest, fingerprint, read_manifest
from lib.data.row_names import name_blocks
from lib.data.submission import Submission, read_submission
from lib.errors import ConfigError, InputError, RunFolderError
from lib.log import log
from lib.pipeline.calibrating.log_lengths import log_lengths
from lib.pipeline.outcomes.another_rule import RULES, keys_of_rule
from lib.pipeline.outcomes.base import require_result
from lib.report.predictions import BLOCK_ROWS, Predictions, from_result
from lib.scoring.calibrating.base import Inputs
from lib.scoring.metrics import Labels, normalise
from lib.scoring.probabilities import FloatArray, mean_of_orders
from lib.scoring.row_sample import Sample


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """n rows with answers and labels.

    raw: [n, 3], the probabilities as they are. groups: [n], the question of each. origin: where they come from, as
    plain JSON. notes: what could not be had, and why.
    """

    inputs: Inputs
    raw: FloatArray
    labels: Labels
    groups: Groups
    origin: Mapping[str, Any]
    notes: Sequence[str] = ()


def inputs_of(manifest: Manifest, block: Predictions, log_length: FloatArray | None = None) -> Inputs:
    """What calibrators read of rows of a run: a judge's orders and their mean, a reward model's scores.

    Raises InputError where the result lacks them.
    """
    if manifest.job == "arena" and block.score_a is not None:
        return Inputs(score_a=block.score_a, score_b=block.score_b, log_length=log_length)
    if manifest.job == "arena" or block.ab is None:
        raise InputError(f"the result of this run of jobs.{manifest.job} lacks its answers; jobs.merge makes it again")
    ba = None if manifest.identity.get("task.judge.swap") == "none" else block.ba
    return Inputs(probabilities=mean_of_orders(block.ab, ba), ab=block.ab, ba=ba)


def of_run(folder: Path) -> Labelled:
    """The labelled rows of a finished run; a sample of them where they are more than 200,000.

    Raises ConfigError for a run of another job than judge and arena, InputError where none is labelled.
    """
    manifest = require_battles(folder)
    result = require_whole(manifest, folder)
    notes: list[str] = []
    lengths = _lengths(manifest, folder, notes) if manifest.job == "arena" else None
    sample, names, first = Sample(), [""], 0
    for block, ids in zip(from_result(result), _names(result), strict=True):
        rows = slice(first, first + len(ids))
        first += len(ids)
        inputs = inputs_of(manifest, block, None if lengths is None else lengths[rows])
        kept = (block.labels >= 0) & _finite(block.probabilities, *inputs.known.values())
        names = list(inputs.known)
        columns = (block.probabilities, _groups(block, ids), *inputs.known.values())
        sample.add(block.labels[kept], *(column[kept] for column in columns))
    raw, group, *known = sample.columns
    require_labels(sample.labels, str(folder))
    return Labelled(
        inputs=Inputs(**dict(zip(names, known, strict=True))),
        raw=normalise(raw),
        labels=sample.labels,
        groups=group,
        origin={"run": str(folder), **described(manifest)},
        notes=notes,
    )


def of_submission(submission: Path, labels: Path, *, normalise_rows: bool = False) -> Labelled:
    """The rows of a submission whose ids have labels. Raises InputError where none has."""
    submitted, truth = read_submission(submission, normalise=normalise_rows), read_labels(labels, questions=True)
    places, labels_of = meet(submitted.ids, truth.ids, str(submission), str(labels))
    raw = normalise(submitted.probabilities[places])
    groups = groups_of_ids(truth.ids) if truth.groups is None else truth.groups
    return Labelled(
        inputs=Inputs(probabilities=raw),
        raw=raw,
        labels=truth.labels[labels_of],
        groups=groups[labels_of],
        origin={"submission": str(submission), "labels": str(labels)},
        notes=[] if truth.groups is not None else [f"folds are by id: {labels} has no question_id, prompt or question"],
    )


def of_runs(folders: Sequence[Path]) -> Labelled:
    """The rows that all of several runs have scored, and that are labelled. Memory: all rows' probabilities.

    Raises ConfigError and InputError as that, and InputError where ids or labels differ.
    """
    manifests = [require_battles(folder) for folder in folders]
    found = [_whole(require_whole(*run)) for run in zip(manifests, folders, strict=True)]
    groups = found[0][2]
    members = aligned(list(map(str, folders)), [submission for submission, _, _ in found])
    marks = [Submission(submission.ids, labels[:, None].astype(np.float64)) for submission, labels, _ in found]
    labels = aligned(list(map(str, folders)), marks)[:, :, 0]
    if (differs := (labels != labels[:, :1]).any(axis=1)).any():
        row = int(np.argmax(differs))
        other = folders[int(np.argmax(labels[row] != labels[row, 0]))]
        raise InputError(f"{other}: another label for id {found[0][0].ids[row]} than in {folders[0]}")
    kept = (labels[:, 0] >= 0) & _finite(members)
    require_labels(labels[kept, 0], ", ".join(map(str, folders)))
    sample = Sample()
    sample.add(labels[kept, 0].astype(np.int8), members[kept], groups[kept])
    some, group = sample.columns
    return Labelled(
        inputs=Inputs(members=some),
        raw=normalise(some.mean(axis=1)),
        labels=sample.labels,
        groups=group,
        origin={"runs": [{"run": str(f), **described(m)} for f, m in zip(folders, manifests, strict=True)]},
    )


def meet(
    ids: pa.Array, labelled: pa.Array, where: str, labels: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of the ids that both have, among each of them. Says how many labels are left over.

    Raises InputError where there is none.
    """
    found = pc.index_in(ids, value_set=labelled)
    places = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
    if not len(places):
        raise InputError(f"{where} and {labels} have no id in common")
    if left := len(labelled) - len(places):
        log.warning("%s: %s ids of it are not in %s, and count for nothing", labels, f"{left:,}", where)
    return places, found.drop_null().to_numpy().astype(np.int64)


def require_battles(folder: Path) -> Manifest:
    """The manifest of a run of battles. Raises ConfigError for another."""
    manifest = read_manifest(folder)
    if manifest.job not in RULES:
        raise ConfigError(f"{folder}: is a run of jobs.{manifest.job}; runs of {', '.join(RULES)} are calibrated")
    return manifest


def require_whole(manifest: Manifest, folder: Path) -> Path:
    """The result of a run. Raises InputError where it is not merged yet, RunFolderError where it lacks rows."""
    result = require_result(folder)
    with parquet.opened(result) as file:
        rows = file.metadata.num_rows
    if rows != manifest.rows:
        raise RunFolderError(
            f"{result}: has {rows:,} rows, and its run {manifest.rows:,}; jobs.merge run.dir={folder} makes it again"
        )
    return result


def require_labels(labels: Labels, where: str) -> None:
    """Raise InputError where there is no labelled row."""
    if not len(labels):
        raise InputError(
            f"{where}: no row has both an answer and a label; run the job on data with labels, or give submission=FILE "
            "and labels=FILE"
        )


def described(manifest: Manifest) -> dict[str, Any]:
    """What tells whether another run's answers are of the same kind: its job, its engine, and a hash of what is asked.

    The rule is no part of it.
    """
    identity, rule = manifest.identity, keys_of_rule(manifest.job)
    asked = {key: value for key, value in identity.items() if key.startswith("task.") and key not in rule}
    engine = {key.removeprefix("engine."): value for key, value in identity.items() if key.startswith("engine.")}
    return {
        "job": manifest.job, "engine": engine, "asked": fingerprint(asked)[:16], "fingerprint": manifest.fingerprint,
    }  # fmt: skip


def _lengths(manifest: Manifest, folder: Path, notes: list[str]) -> FloatArray | None:
    """Of all rows; None, with a note, where the input can't be read again."""
    try:
        return log_lengths(manifest, folder)
    except (InputError, RunFolderError) as error:
        notes.append(f"lengths are left out: {error}")
        return None


def _groups(block: Predictions, ids: pa.Array) -> Groups:
    """The questions [n] of rows; a row of which that is unknown is about one of its own."""
    return groups_of_ids(ids) if block.questions is None else block.questions


def _whole(result: Path) -> tuple[Submission, npt.NDArray[np.int8], Groups]:
    """All rows of a result by their names, their labels (-1 where unknown), and their questions; rows without a name
    are left out."""
    blocks, names = list(from_result(result)), list(_names(result))
    ids = pa.concat_arrays(names)
    probabilities = np.concatenate([block.probabilities for block in blocks])
    labels = np.concatenate([block.labels for block in blocks])
    groups = np.concatenate([_groups(block, own) for block, own in zip(blocks, names, strict=True)])
    named = ids.is_valid().to_numpy(zero_copy_only=False)
    return Submission(ids.drop_null(), probabilities[named]), labels[named], groups[named]


def _names(result: Path) -> Iterator[pa.Array]:
    """What rows are called, in blocks as of `from_result`."""
    return name_blocks(lambda: (block["id"] for block in parquet.blocks(result, BLOCK_ROWS, ["id"])))


def _finite(*columns: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Rows [n] without NaN and infinity."""
    each = [np.isfinite(column.reshape(len(column), -1)).all(axis=1) for column in columns]
    return np.asarray(np.logical_and.reduce(each), dtype=np.bool_)
