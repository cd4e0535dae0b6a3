"""The worker: holds an engine and turns shards into shard files. It knows neither Ray nor other workers."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc

from lib.data.beside_shards.journal import Journal, journalled_cost
from lib.data.joining.keys import ANSWERED, KEY_TYPE, content_keys, equal_keys
from lib.data.manifest import Shard
from lib.data.reading.input_file import read_equals, read_rows
from lib.data.rows.openai_batch import BODY
from lib.data.shards import Footer, commit, unfinished
from lib.engines.base import ModelConfig
from lib.errors import OvernightError
from lib.pipeline.meter import Meter, ShardUsage
from lib.pipeline.result_rows import result_rows
from lib.pipeline.run import Run
from lib.types import KEY, Engine, RemoteEngine


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
        if isinstance(self._engine, RemoteEngine):
            self._engine.charge(_spent(run))
        self._meter = Meter(run.engine)
        self.ready = f"{self._engine.memory / 2**20:,.0f} MiB of weights, {time.monotonic() - start:.1f} s to load"

    def process(self, shard: Shard) -> Footer:
        """Answer a whole shard and commit its file. Raises ConfigError where the first one speaks against the run."""
        work = ShardUsage()
        table = self.answer(shard, shard.start, shard.stop, work)
        if shard.number == 0:
            self._run.check_first(table)
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
            served=work.served,
        )

    def answer(self, shard: Shard, start: int, stop: int, work: ShardUsage | None = None) -> pa.Table:
        """The result table of rows [start, stop) of a shard; a row that can't be answered carries its `error`.

        work: what was asked of the engine is added to it.
        """
        rows = keyed_rows(self._run, shard.input, start, stop)
        fine = pc.is_null(rows["error"])
        work = work or ShardUsage()
        work.spelled += self._spelled(rows.filter(fine))
        with self._asked(shard) as engine:
            answered = self._answer(rows.filter(fine), work, engine)
        refused = failed_rows(rows.filter(pc.invert(fine)), self._run)
        return pa.concat_tables([answered, refused]).sort_by("row")

    def close(self) -> None:
        """Leave off asking a server; an engine in this process goes on with what it has in hand."""
        if isinstance(self._engine, RemoteEngine):
            self._engine.close()

    @contextmanager
    def _asked(self, shard: Shard) -> Iterator[Engine]:
        """The engine about a shard: where each answer may cost money, with those that are known."""
        if not isinstance(self._engine, RemoteEngine):
            yield self._engine
            return
        with Journal(self._run.folder, shard.number) as journal:
            yield self._engine.keeping(journal)

    def _spelled(self, rows: pa.Table) -> int:
        """Texts of rows that spell out a control token where they become turns of chats."""
        if not self._run.task.writes_chats(self._tokenizer):
            return 0
        columns = [rows[name].to_pylist() for name in self._run.data.text_columns]
        texts = [text for column in columns for cell in column for text in cell or ()]
        bodies = rows[BODY].to_pylist() if BODY in rows.schema.names else []
        return sum(self._tokenizer.spells_control(text) for text in [*texts, *bodies] if text)

    def _answer(self, rows: pa.Table, work: ShardUsage, engine: Engine) -> pa.Table:
        """Answer rows. Where that raises, halve them until the row that makes it raise is alone."""
        if rows.num_rows == 0:
            return failed_rows(rows, self._run)
        task = self._run.task
        try:
            prepared = task.prepare(rows, self._tokenizer, self._run.engine.max_tokens)
            answers = task.ask(engine, prepared)
            result = task.read(prepared, answers)
            columns = task.conclude(rows, result.columns)
        except (OvernightError, OSError, MemoryError):
            raise  # of the engine or the machine, not of a row
        except Exception as error:  # of a row, whatever a task or a library raises for it: halved until it is alone
            if rows.num_rows == 1:
                return failed_rows(rows, self._run, f"{type(error).__name__}: {error}")
            half = rows.num_rows // 2
            halves = (rows.slice(0, half), rows.slice(half))
            return pa.concat_tables([self._answer(part, work, engine) for part in halves])
        work.add(prepared.requests, answers.usage)
        errors = pa.array([result.errors.get(row) for row in range(rows.num_rows)], pa.string())
        return _table(rows, self._run, columns, errors, result.unanswered)


def _spent(run: Run) -> float:
    """What a run has spent up to now, on shards that are done and on others."""
    _, done = unfinished(run.manifest, run.folder, retry_failed=False)
    return sum(footer.cost for footer in done) + journalled_cost(run.folder)


def dead_row(run: Run, shard: Shard, row: int, reason: str) -> pa.Table:
    """The result table of one row that no worker survives."""
    return failed_rows(keyed_rows(run, shard.input, row, row + 1), run, reason)


def failed_rows(rows: pa.Table, run: Run, reason: str | None = None) -> pa.Table:
    """The result table of rows without a result, for `reason` or for the `error` they already carry."""
    errors = rows["error"] if reason is None else pa.array([reason] * rows.num_rows, pa.string())
    nothing = pa.table([pa.nulls(rows.num_rows, field.type) for field in run.task.schema], schema=run.task.schema)
    return _table(rows, run, nothing, errors, range(rows.num_rows))


def _table(
    rows: pa.Table, run: Run, columns: pa.Table, errors: pa.Array | pa.ChunkedArray, unanswered: Collection[int]
) -> pa.Table:
    """The result of rows, with their keys, and whether the engine answered them."""
    nothing = pa.array([row in unanswered for row in range(rows.num_rows)], pa.bool_())
    table = result_rows(rows, run.data, run.task, columns, errors, nothing)
    return table.append_column(KEY, rows[KEY]).append_column(ANSWERED, pc.invert(nothing))


def keyed_rows(run: Run, number: int, start: int, stop: int) -> pa.Table:
    """Asked rows [start, stop) of an input of a run as tasks get them: with keys.

    Null are those of bad rows, which ask nothing whatever their cells hold, and of all rows where no model is asked.
    """
    file = run.manifest.inputs[number]
    rows = read_rows(file, run.folder, start, stop, run.data)
    if not isinstance(run.engine, ModelConfig):
        return rows.append_column(KEY, pa.nulls(rows.num_rows, KEY_TYPE))
    keys = equal_keys(content_keys(rows, run.data.content), read_equals(file, run.folder, start, stop))
    return rows.append_column(KEY, pc.if_else(pc.is_null(rows["error"]), keys, pa.scalar(None, KEY_TYPE)))
