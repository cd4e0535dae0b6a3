"""The worker: holds an engine and turns shards into shard files. It knows neither Ray nor other workers."""

import time

import pyarrow as pa
import pyarrow.compute as pc

from lib.data.manifest import Shard
from lib.data.reading.input_file import read_rows
from lib.data.rows.openai_batch import BODY
from lib.data.shards import Footer, commit
from lib.errors import OvernightError
from lib.pipeline.meter import Meter, ShardUsage
from lib.pipeline.run import Run


class Worker:
    """Answers shards; safe to call from several threads, so that reading and writing overlap with the engine.

    ready: a line about the loaded engine, for the log.
    """

    def __init__(self, run: Run) -> None:
        """Load tokenizer and engine. Raises what they raise."""
        start = time.monotonic()
        self._run = run
        self._tokenizer = run.engine.load_tokenizer()
        self._engine = run.engine.load(self._tokenizer, run.task.method)
        self._meter = Meter(run.engine)
        self.ready = f"{self._engine.memory / 2**20:,.0f} MiB of weights, {time.monotonic() - start:.1f} s to load"

    def process(self, shard: Shard) -> Footer:
        """Answer a whole shard and commit its file. Raises ConfigError where the first one speaks against the run."""
        work = ShardUsage()
        table = self.answer(shard, shard.start, shard.stop, work)
        if shard.number == 0:
            self._run.task.check_first(table)
        seconds, gpu_utilization, peak_seconds = self._meter.read(work)
        return commit(
            table,
            shard,
            self._run.manifest,
            self._run.folder,
            seconds=seconds,
            cached_tokens=work.cached_tokens,
            queued=work.queued,
            gpu_utilization=gpu_utilization,
            peak_seconds=peak_seconds,
            spelled=work.spelled,
        )

    def answer(self, shard: Shard, start: int, stop: int, work: ShardUsage | None = None) -> pa.Table:
        """The result table of rows [start, stop) of a shard; a row that can't be answered carries its `error`.

        work: what was asked of the engine is added to it.
        """
        rows = _read(self._run, shard, start, stop)
        fine = pc.is_null(rows["error"])
        work = work or ShardUsage()
        work.spelled += self._spelled(rows.filter(fine))
        answered = self._answer(rows.filter(fine), work)
        refused = failed_rows(rows.filter(pc.invert(fine)), self._run)
        return pa.concat_tables([answered, refused]).sort_by("row")

    def _spelled(self, rows: pa.Table) -> int:
        """Texts of rows that spell out a control token where they become turns of chats."""
        if not self._run.task.writes_chats(self._tokenizer):
            return 0
        columns = [rows[name].to_pylist() for name in self._run.data.text_columns]
        texts = [text for column in columns for cell in column for text in cell or ()]
        bodies = rows[BODY].to_pylist() if BODY in rows.schema.names else []
        return sum(self._tokenizer.spells_control(text) for text in [*texts, *bodies] if text)

    def _answer(self, rows: pa.Table, work: ShardUsage) -> pa.Table:
        """Answer rows. Where that raises, halve them until the row that makes it raise is alone."""
        if rows.num_rows == 0:
            return failed_rows(rows, self._run)
        task = self._run.task
        try:
            prepared = task.prepare(rows, self._tokenizer, self._run.engine.max_tokens)
            answers = task.ask(self._engine, prepared)
            result = task.read(prepared, answers)
        except (OvernightError, OSError, MemoryError):
            raise  # of the engine or the machine, not of a row
        except Exception as error:  # of a row, whatever a task or a library raises for it: halved until it is alone
            if rows.num_rows == 1:
                return failed_rows(rows, self._run, f"{type(error).__name__}: {error}")
            half = rows.num_rows // 2
            return pa.concat_tables([self._answer(rows.slice(0, half), work), self._answer(rows.slice(half), work)])
        work.add(prepared.requests, answers.usage)
        errors = pa.array([result.errors.get(row) for row in range(rows.num_rows)], pa.string())
        return _table(rows, self._run, result.columns, errors)


def dead_row(run: Run, shard: Shard, row: int, reason: str) -> pa.Table:
    """The result table of one row that no worker survives."""
    return failed_rows(_read(run, shard, row, row + 1), run, reason)


def failed_rows(rows: pa.Table, run: Run, reason: str | None = None) -> pa.Table:
    """The result table of rows without a result, for `reason` or for the `error` they already carry."""
    errors = rows["error"] if reason is None else pa.array([reason] * rows.num_rows, pa.string())
    return _table(rows, run, run.task.schema.empty_table(), errors)


def _table(rows: pa.Table, run: Run, columns: pa.Table, errors: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Carried columns, the task's own (null in failed rows), and `error`."""
    table = rows.select(run.data.carried)
    nothing = pc.is_valid(errors)
    for field in columns.schema:
        values = columns[field.name] if columns.num_rows else pa.nulls(rows.num_rows, field.type)
        table = table.append_column(field, pc.if_else(nothing, pa.scalar(None, field.type), values))
    return table.append_column(pa.field("error", pa.string()), errors)


def _read(run: Run, shard: Shard, start: int, stop: int) -> pa.Table:
    return read_rows(run.manifest.inputs[shard.input], run.folder, start, stop, run.data)
