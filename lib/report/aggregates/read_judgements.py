"""A judge's verdicts by their labels, from the result of its run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.errors import InputError
from lib.scoring.aggregates.judgements import Judgements
from lib.scoring.probabilities import FloatArray, normalise_labels
from lib.types import VERDICTS

_BLOCK_ROWS = 16_384
_LOGPROBS = ("ab_logprobs", "ba_logprobs")
_SYSTEMS = ("model_a", "model_b")
_CLUSTERS = ("question_id", "question", "prompt")
_LENGTHS = ("length_a", "length_b")


def read_judgements(
    result: Path, labels: Sequence[str], outcomes: FloatArray, weights: Sequence[float], *, orders: int
) -> Judgements:
    """All rows of a result. labels, outcomes, weights: of the prompt; orders: that each battle was shown in.

    Systems, clusters and lengths are known where the result has their columns. Raises InputError for a result that has
    no verdicts by labels.
    """
    columns = parquet.schema(result).names
    by_label = _LOGPROBS[0] in columns
    if not by_label and "verdicts" not in columns:
        raise InputError(f"{result}: has no verdicts of a judge; only runs of jobs.judge are summed up so")
    asked = list(_LOGPROBS) if by_label else ["verdicts"]
    systems, lengths = ([name for name in names if name in columns] for names in (_SYSTEMS, _LENGTHS))
    cluster = next((name for name in _CLUSTERS if name in columns), None)
    wanted = dict.fromkeys([*asked, "row", "id", "label", "error", *systems, *lengths, *filter(None, [cluster])])
    shares: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    found: dict[str, list[Any]] = {name: [] for name in wanted if name not in asked}
    for batch in parquet.batches(result, _BLOCK_ROWS, list(wanted)):
        failed = batch["error"].is_valid().to_numpy(zero_copy_only=False)
        for order in (0, 1):
            if order >= orders:
                own = np.full((batch.num_rows, len(labels)), np.nan)
            elif by_label:
                own = _of_logprobs(batch[_LOGPROBS[order]], len(labels))
            else:
                own = _of_samples(batch["verdicts"].to_pylist(), labels, order, orders)
            own[failed] = np.nan
            shares[order].append(own)
        for name, values in found.items():
            values += batch[name].to_pylist()
    rows = len(found["row"])
    known = len(systems) == len(_SYSTEMS) and None not in found[_SYSTEMS[0]] and None not in found[_SYSTEMS[1]]
    ab, ba = (np.concatenate([np.empty((0, len(labels))), *parts]) for parts in shares)
    return Judgements(
        ab=ab,
        ba=ba,
        outcomes=outcomes,
        weights=np.array(weights or np.ones(len(labels)), np.float64),
        systems=list(zip(*(found[name] for name in _SYSTEMS), strict=True)) if known else None,
        labels=np.array([-1 if label is None else VERDICTS.index(label) for label in found["label"]], np.int64),
        clusters=list(range(rows)) if cluster is None else [str(value) for value in found[cluster]],
        ids=found["id"],
        lengths=np.array([found[name] for name in lengths], np.float64).T if len(lengths) == len(_LENGTHS) else None,
    )


def _of_logprobs(column: pa.Array, k: int) -> FloatArray:
    """Probabilities over the labels [n, k]; null as NaN."""
    values = np.full((len(column), k), np.nan)
    values[column.is_valid().to_numpy(zero_copy_only=False)] = pc.list_flatten(column).to_numpy().reshape(-1, k)
    return normalise_labels(values)[0]


def _of_samples(
    rows: Sequence[Sequence[str | None] | None], labels: Sequence[str], order: int, orders: int
) -> FloatArray:
    """Shares of the labels among the samples of one order [n, k]; NaN where none has a verdict."""
    counts = []
    for row in rows:
        each = len(row or ()) // orders
        own = (row or ())[order * each : (order + 1) * each]
        counts.append([own.count(label) for label in labels])
    found = np.array(counts, np.float64).reshape(-1, len(labels))
    with np.errstate(invalid="ignore"):
        return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float64)
