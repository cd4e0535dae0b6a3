"""What a report says about the texts of a run's battles."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.data.manifest import Manifest, read_manifest
from lib.data.rows.battles import BattlesConfig
from lib.data.rows.style_counts import STYLE, style_counts
from lib.errors import OvernightError, RunFolderError
from lib.log import log
from lib.pipeline.rows_of_run import battles_of, rows_of, rows_there
from lib.report.battles.bias_measures import MOST_ROWS, BiasRows, Counts
from lib.report.predictions import BLOCK_ROWS, from_result
from lib.scoring.inference.estimates import row_keys
from lib.types import BATTLE_TEXTS

_MOST_CHARACTERS = 160


def bias_rows(folder: Path, result: Path) -> Iterator[BiasRows]:
    """The rows of a merged run for its bias report: at most MOST_ROWS of them, evenly spread.

    result: the run's own, or one by another rule. Texts are counted where the input is at hand as it was.
    """
    manifest = read_manifest(folder)
    there, step = parquet.schema(result).names, -(-manifest.rows // MOST_ROWS)
    data = _data_or_none(folder, manifest)
    groups = [name for name in ([] if data is None else data.carry) if name in there]
    models = [name for name in ("model_a", "model_b") if name in there]
    texts = _Texts(iter(()) if data is None else _or_nothing(rows_there(result, folder, manifest, data), folder), step)
    first = 0
    columns = parquet.blocks(result, BLOCK_ROWS, ["row", *models, *groups])
    for block, names in zip(from_result(result), columns, strict=True):
        n = len(block.labels)
        some = np.arange(-first % step, n, step)
        keys = row_keys(first, n) if block.questions is None else block.questions
        named = [names[name].take(pa.array(some)).to_numpy(zero_copy_only=False) for name in models]
        yield BiasRows(
            probabilities=block.probabilities[some],
            labels=block.labels[some],
            keys=keys[some],
            counts=texts.counts(len(some)),
            models=(named[0], named[1]) if len(named) == 2 else None,
            groups={name: names[name].take(pa.array(some)).to_numpy(zero_copy_only=False) for name in groups},
        )
        first += n


def beginnings(folder: Path, names: Collection[str]) -> dict[str, dict[str, str]]:
    """The beginnings of some rows' texts, by the names of rows: ids, or "file, row n". Empty where the input is not at
    hand as it was."""
    wanted, found = pa.array(sorted(names), pa.string()), dict[str, dict[str, str]]()
    manifest = read_manifest(folder)
    data = _data_or_none(folder, manifest)
    if data is None or not names:
        return found
    tables = _or_nothing(rows_of(folder, manifest, data), folder)
    for table in tables:
        row = table["row"].cast(pa.string())
        for key in (table["id"], pc.binary_join_element_wise(table["file"], row, ", row ")):
            for cells in table.append_column("name", key).filter(pc.is_in(key, value_set=wanted)).to_pylist():
                found.setdefault(cells["name"], {side: _beginning(cells[side]) for side in BATTLE_TEXTS})
        if len(found) == len(names):
            break
    return found


def _beginning(turns: list[str | None] | None) -> str:
    text = " ".join(" / ".join(turn or "" for turn in turns or []).split())
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


class _Texts:
    """What is counted in the responses of every `step`-th row, some rows at a time."""

    def __init__(self, tables: Iterator[pa.Table], step: int) -> None:
        self._tables, self._step, self._seen = tables, step, 0
        self._waiting = pa.table({})

    def counts(self, rows: int) -> Counts | None:
        """Of the next rows; None where there are not that many, since texts are not at hand."""
        while self._waiting.num_rows < rows:
            table = next(self._tables, None)
            if table is None:
                return None
            some = table.take(pa.array(np.arange(-self._seen % self._step, table.num_rows, self._step)))
            self._seen += table.num_rows
            parts = [self._waiting, _counted(some)] if self._waiting.num_rows else [_counted(some)]
            self._waiting = pa.concat_tables(parts)
        taken, self._waiting = self._waiting.slice(0, rows), self._waiting.slice(rows)
        return {name: (taken[f"{name}_a"].to_numpy(), taken[f"{name}_b"].to_numpy()) for name in STYLE}


def _counted(rows: pa.Table) -> pa.Table:
    """Counts as floats; 0 where a row has no texts, which has failed."""
    sides = {side: style_counts(rows[f"response_{side}"].combine_chunks()) for side in "ab"}
    zero = pa.scalar(0, pa.int64())
    return pa.table(
        {
            f"{name}_{side}": pc.fill_null(counted[name], zero).cast(pa.float64())
            for side, counted in sides.items()
            for name in STYLE
        }
    )


def _or_nothing(tables: Iterable[pa.Table], folder: Path) -> Iterator[pa.Table]:
    """The tables, as far as they can be read; why they can't be is logged."""
    try:
        yield from tables
    except OvernightError as error:
        log.info("%s: nothing is said about texts, since the input is not at hand (%s)", folder, error)


def _data_or_none(folder: Path, manifest: Manifest) -> BattlesConfig | None:
    """How a run read its input; None where that can't be told any more."""
    try:
        return battles_of(folder, manifest)
    except RunFolderError as error:
        log.info("%s: nothing is said about texts (%s)", folder, error)
        return None
