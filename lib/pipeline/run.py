"""A run: one job with its resolved config and its folder. Running the same line again resumes it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Protocol

import pyarrow as pa

from lib.config import identity
from lib.data.joining.keys import ANSWERED
from lib.data.joining.run_rows import first_remembered
from lib.data.manifest import Manifest, Shard, flatten
from lib.data.merging import Merged, merge_shards
from lib.data.reading.input_file import EQUALS
from lib.data.rows.base import Rows
from lib.data.run_folder import PROGRESS, STORED
from lib.data.shards import Footer, unfinished
from lib.durations import count
from lib.engines.base import EngineConfig, ModelConfig
from lib.errors import ConfigError, RunFailed
from lib.log import log
from lib.pipeline.array import ArrayConfig
from lib.pipeline.meter import RunUsage
from lib.pipeline.planning.division import Division
from lib.pipeline.progress import Progress, Tell
from lib.pipeline.result_rows import stored_schema
from lib.pipeline.run_config import RunConfig
from lib.pipeline.run_plan import find_or_plan
from lib.pipeline.stop import Stop
from lib.store.answer_table import AnswerTable
from lib.store.keeper import Keeper
from lib.store.store import Store, StoreConfig
from lib.tasks.base import AnyTask
from lib.types import KEY, Served

_BROKEN_AFTER = 100  # rows after which a majority of failed ones means that the engine is at fault


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is asked (task), of whom (engine), about which rows (data)."""

    data: Rows
    engine: EngineConfig
    task: AnyTask


class Executor(Protocol):
    """Where shards are worked on."""

    def run(self, run: "Run", shards: Sequence[Shard], stop: Stop) -> Iterator[Footer]:
        """Work on shards; yield each one's footer as it is committed. Returns early where `stop` asks for it."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is planned: all that a worker needs to know, and sent to each of them.

    root: the folder that relative paths start from. answers: those of the store to this run's question, if there is a
    store.
    """

    root: Path
    folder: Path
    manifest: Manifest
    config: RunConfig
    data: Rows
    engine: EngineConfig
    task: AnyTask
    answers: AnswerTable | None = None

    @staticmethod
    def open(
        job: str,
        config: RunConfig,
        recipe: Recipe,
        array: ArrayConfig | None = None,
        store: StoreConfig | None = None,
    ) -> "Run":
        """Check everything that can be checked without a model, and find or make the run's folder and manifest.

        Processes that do so at once find the same plan. Raises ConfigError, InputError, StoreError or RunFolderError;
        the last one also where the folder holds another plan.
        """
        data, engine, task = recipe.data, recipe.engine, recipe.task
        log.info("jobs.%s: looking at the input and at the engine's files", job)
        _require_own_columns(data, task)
        engine.check(task.method)
        asked = {"type": type(engine).__name__, **identity(engine), **engine.identity()}
        model = isinstance(engine, ModelConfig)
        answers = _answers(store or StoreConfig(), task, asked) if model else None

        def begin(scratch: Path) -> Division | None:
            if answers is not None:
                answers.refresh()
            if answers is None or not answers.known:  # what was asked before was checked then
                task.check(engine.load_tokenizer(), engine.max_tokens)
            return Division(data, task, answers, scratch) if model else None

        keys = {"task": task.identity(), "engine": asked}
        folder, manifest = find_or_plan(job, config, data, keys, array or ArrayConfig(), begin)
        return Run(
            root=Path.cwd(),
            folder=folder,
            manifest=manifest,
            config=config,
            data=data,
            engine=engine,
            task=task,
            answers=answers,
        )

    @property
    def engine_name(self) -> str:
        """The model, or what the engine is where it has none."""
        return str(self.manifest.identity.get("engine.model") or type(self.engine).__name__.removesuffix("Config"))

    def work(self, executor: Executor, array: ArrayConfig | None = None, tell: Tell | None = None) -> None:
        """Work on all unfinished shards, or on those of an array's element. tell: as of `Progress`.

        Raises Stopped after a signal, RunFailed where so many rows fail that more than rows must be at fault.
        """
        array = array or ArrayConfig()
        todo, done = self.unfinished()
        todo = [shard for shard in todo if array.has(shard.number)]
        done = [footer for footer in done if array.has(footer.shard)]
        rows = sum(shard.rows for shard in todo) + sum(footer.rows for footer in done)
        of, left = count(len(todo) + len(done), "shard"), count(len(todo), "shard")
        log.info("%s in %s; %s to do", count(rows, "row"), of, left)
        if not self.manifest.computed:
            self.check_first()
        self.keep(done, array)
        if not todo:
            return
        mine = replace(self, engine=self.engine.shared(array.count))
        with self._keeper(array) as keeper:
            name = array.file(PROGRESS)
            with Stop(self.config.grace_seconds) as stop, Progress(self.folder, rows, done, name, tell) as progress:
                for footer in executor.run(mine, todo, stop):
                    progress.add(footer)
                    keeper.add(footer.shard, afresh=True)
                    _require_sound_engine(progress, self.config)
                stop.raise_if_requested()
        for said in (spelled_texts(self.manifest, self.folder), served_answers(self.manifest, self.folder)):
            if said:
                log.info("%s", said)

    def keep(self, done: Iterable[Footer], array: ArrayConfig | None = None) -> None:
        """Put the answers of finished shards into the store, those that it was not given yet."""
        with self._keeper(array or ArrayConfig()) as keeper:
            for footer in done:
                keeper.add(footer.shard)

    def check_first(self, results: pa.Table | None = None) -> None:
        """Raise ConfigError where the results of the first shard speak against the run, or those that are remembered.

        Few of many rows may be asked: both together are what the first shard of a run from nothing says.
        """
        known = first_remembered(self.manifest, self.folder)
        tables = [table for table in (known, results) if table is not None]
        if tables:
            self.task.check_first(pa.concat_tables([table.select(self.task.schema.names) for table in tables]))

    def _keeper(self, array: ArrayConfig) -> Keeper:
        schema = stored_schema(self.task)
        return Keeper(self.answers, self.manifest, self.folder, schema, array.file(STORED))

    def merge(self) -> Merged:
        """Write `result.parquet` and `failures.parquet`. Raises RunFailed where a shard is missing."""
        return merge_shards(self.manifest, self.folder)

    def unfinished(self) -> tuple[list[Shard], list[Footer]]:
        """The shards still to be done, and the footers of those that are; as `run.retry_failed` says."""
        return unfinished(self.manifest, self.folder, retry_failed=self.config.retry_failed)


def spelled_texts(manifest: Manifest, folder: Path) -> str | None:
    """A sentence about texts that spell out control tokens; None where no text does."""
    _, done = unfinished(manifest, folder, retry_failed=False)
    count = sum(footer.spelled for footer in done)
    if not count:
        return None
    return f"{count:,} texts spell out a control token of the model, as in <|im_end|>: given with a blank, < |im_end|>"


def served_answers(manifest: Manifest, folder: Path) -> str | None:
    """A sentence about what a server's answers took, and what it doesn't tell; None where no server was asked."""
    _, done = unfinished(manifest, folder, retry_failed=False)
    served = RunUsage(done).served
    if served == Served():
        return None
    tokens = f"{served.prompt_tokens:,} tokens of prompts, {served.completion_tokens:,} written, as the server counts"
    cost = f", cost {served.cost:,.4g}" if served.cost else ""
    bounded = (
        f"; {served.bounded:,} probabilities of labels are upper bounds, since the server told of likelier tokens "
        f"only, which left up to {served.lost_mass:.2g} of the probability to others"
    )
    return tokens + cost + (bounded if served.bounded else "")


def _answers(store: StoreConfig, task: AnyTask, engine: Mapping[str, Any]) -> AnswerTable | None:
    """The store's answers to what a task asks of an engine."""
    found = Store.open(store)
    if found is None:
        return None
    asks, asked = type(task).__name__, str(engine.get("model") or engine["type"].removesuffix("Config"))
    question = flatten({"task": {"type": asks, **task.question()}, "engine": engine})
    return found.table(f"{asks}-{PurePath(asked).name}".lower(), question)


def _require_sound_engine(progress: Progress, config: RunConfig) -> None:
    share = max(0.5, config.max_error_rate)
    if progress.rows >= _BROKEN_AFTER and progress.failed > share * progress.rows:
        raise RunFailed(
            f"{progress.failed} of the first {progress.rows} rows failed: that is the engine or the whole input, not "
            "single rows. Look at the `error` column in shards/, mend it, and run again with run.retry_failed=true"
        )


def _require_own_columns(data: Rows, task: AnyTask) -> None:
    """Raise ConfigError where a column that is carried along would hide one of the task's, or of ours."""
    if both := sorted(set(data.carried).intersection([*task.schema.names, KEY, ANSWERED, EQUALS])):
        raise ConfigError(
            f"data.carry: {', '.join(both)} is also a column of this job's result or shards; leave it out, or "
            "rename it first"
        )
