"""The worker: holds an engine and turns shards into shard files. It knows neither Ray nor other workers."""

import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lib.data.manifest import Manifest, Shard
from lib.data.reading.intake import read_rows
from lib.data.rows.base import RowsConfig
from lib.data.rows.kinds import carried
from lib.data.shards import Footer, commit
from lib.engines import load_engine, load_tokenizer
from lib.engines.base import EngineConfig
from lib.errors import OvernightError
from lib.pipeline.meter import Meter, ShardUsage
from lib.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class Spec:
    """All that a worker needs to know; sent to each of them. root: the folder that relative paths start from."""

    root: Path
    folder: Path
    manifest: Manifest
    data: RowsConfig
    engine: EngineConfig
    task: Task


class Worker:
    """Answers shards; safe to call from several threads, so that reading and writing overlap with the engine.

    ready: a line about the loaded engine, for the log.
    """

    def __init__(self, spec: Spec) -> None:
        """Load tokenizer and engine. Raises what they raise."""
        start = time.monotonic()
        self._spec = spec
        self._tokenizer = load_tokenizer(spec.engine)
        self._engine = load_engine(spec.engine, self._tokenizer, spec.task.method)
        self._gauge = Meter(spec.engine)
        self.ready = f"{self._engine.memory / 2**20:,.0f} MiB of weights, {time.monotonic() - start:.1f} s to load"

    def process(self, shard: Shard) -> Footer:
        """Answer a whole shard and commit its file."""
        work = ShardUsage()
        table = self.answer(shard, shard.start, shard.stop, work)
        seconds, gpu_utilization, peak_seconds = self._gauge.read(work)
        return commit(
            table,
            shard,
            self._spec.manifest,
            self._spec.folder,
            seconds=seconds,
            cached_tokens=work.cached_tokens,
            queued=work.queued,
            gpu_utilization=gpu_utilization,
            peak_seconds=peak_seconds,
        )

    def answer(self, shard: Shard, start: int, stop: int, work: ShardUsage | None = None) -> pa.Table:
        """The result table of rows [start, stop) of a shard; a row that can't be answered carries its `error`.

        work: what was asked of the engine is added to it.
        """
        rows = _read(self._spec, shard, start, stop)
        fine = pc.is_null(rows["error"])
        answered = self._answer(rows.filter(fine), work or ShardUsage())
        refused = failed_rows(rows.filter(pc.invert(fine)), self._spec)
        return pa.concat_tables([answered, refused]).sort_by("row")

    def _answer(self, rows: pa.Table, work: ShardUsage) -> pa.Table:
        """Answer rows. Where that raises, halve them until the row that makes it raise is alone."""
        if rows.num_rows == 0:
            return failed_rows(rows, self._spec)
        task = self._spec.task
        try:
            prepared = task.prepare(rows, self._tokenizer, self._spec.engine.max_model_len)
            answers = task.ask(self._engine, prepared)
            result = task.read(prepared, answers)
        except (OvernightError, OSError, MemoryError):
            raise  # of the engine or the machine, not of a row
        except Exception as error:
            if rows.num_rows == 1:
                return failed_rows(rows, self._spec, f"{type(error).__name__}: {error}")
            half = rows.num_rows // 2
            return pa.concat_tables([self._answer(rows.slice(0, half), work), self._answer(rows.slice(half), work)])
        work.add(prepared.requests, answers.usage)
        errors = pa.array([result.errors.get(row) for row in range(rows.num_rows)], pa.string())
        return _table(rows, self._spec, result.columns, errors)


def dead_row(spec: Spec, shard: Shard, row: int, reason: str) -> pa.Table:
    """The result table of one row that no worker survives."""
    return failed_rows(_read(spec, shard, row, row + 1), spec, reason)


def failed_rows(rows: pa.Table, spec: Spec, reason: str | None = None) -> pa.Table:
    """The result table of rows without a result, for `reason` or for the `error` they already carry."""
    errors = rows["error"] if reason is None else pa.array([reason] * rows.num_rows, pa.string())
    return _table(rows, spec, spec.task.schema.empty_table(), errors)


def _table(rows: pa.Table, spec: Spec, columns: pa.Table, errors: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Carried columns, the task's own (null in failed rows), and `error`."""
    table = rows.select(carried(spec.data))
    nothing = pc.is_valid(errors)
    for field in columns.schema:
        values = columns[field.name] if columns.num_rows else pa.nulls(rows.num_rows, field.type)
        table = table.append_column(field, pc.if_else(nothing, pa.scalar(None, field.type), values))
    return table.append_column(pa.field("error", pa.string()), errors)


def _read(spec: Spec, shard: Shard, start: int, stop: int) -> pa.Table:
    return read_rows(spec.manifest.inputs[shard.input], spec.folder, start, stop, spec.data)
