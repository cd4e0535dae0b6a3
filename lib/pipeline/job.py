"""A job about rows: what is asked of whom about which rows, and what becomes of the result."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

import pyarrow.compute as pc
from omegaconf import OmegaConf

from lib.config import public
from lib.data.atomic import write_text
from lib.data.delivery import copy_out, require_writable
from lib.data.hub.publish_config import PublishConfig
from lib.data.hub.publishing import publish, require_publishable
from lib.data.merging import MergeConfig
from lib.data.run_folder import CONFIG, RESULT
from lib.engines.base import ModelConfig
from lib.errors import AnotherPlan
from lib.log import log
from lib.pipeline.array import ArrayConfig
from lib.pipeline.executors.bad_rows import as_needed
from lib.pipeline.executors.base import ExecutorConfig
from lib.pipeline.outcomes.another_rule import RULES, settings_of_rule
from lib.pipeline.outcomes.base import Outcome
from lib.pipeline.outcomes.finished import is_finished, write_finished
from lib.pipeline.outcomes.origin import write_origin
from lib.pipeline.run import Recipe, Run
from lib.pipeline.run_config import RunConfig
from lib.pipeline.tracking.track_config import TrackConfig
from lib.pipeline.tracking.tracking import require_tracker, tracked
from lib.pipeline.worker import keyed_rows
from lib.store.store import StoreConfig
from lib.tasks.prompts.preview import preview
from lib.tasks.prompts.prompt import PromptConfig


@dataclass(frozen=True, kw_only=True)
class JobConfig:
    """The config groups that every job about rows has."""

    executor: ExecutorConfig
    run: RunConfig
    array: ArrayConfig = field(default_factory=ArrayConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    merge: MergeConfig = field(default_factory=MergeConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)
    track: TrackConfig = field(default_factory=TrackConfig)

    @property
    def preview(self) -> int:
        """Requests to be shown in place of a run."""
        return 0


@dataclass(frozen=True, kw_only=True)
class EngineJobConfig(JobConfig):
    """Those of a job whose engine is a model."""

    engine: ModelConfig


@dataclass(frozen=True, kw_only=True)
class PromptJobConfig(EngineJobConfig):
    """Those of a job whose model gets a prompt."""

    prompt: PromptConfig

    @property
    def preview(self) -> int:
        """Requests to be shown in place of a run."""
        return self.prompt.preview


Config = TypeVar("Config", bound=JobConfig)


@dataclass(frozen=True)
class Job(Generic[Config]):
    """A command about rows: `python -m jobs.<name>`.

    config: the type of `conf/<name>.yaml`. recipe: what a config asks for; raises ConfigError or InputError for what
    can't be. outcome: what is checked before a run, and what becomes of its result.
    """

    name: str
    config: type[Config]
    recipe: Callable[[Config], Recipe]
    outcome: Outcome

    def main(self, config: Config) -> None:
        """Plan or resume a run, work on it, and finish it; of an element of a job array: work only.

        Raises RunFailed where too many rows failed, what the outcome raises, and DeliveryError where the finished run
        can't be copied to `run.out`, or published.
        """
        if config.preview:
            self._show_requests(config)
            return
        require_tracker(config.track)
        require_writable(config.run.out, config.run.dir)
        require_publishable(config.publish)
        run = self.open(config)
        if config.array.element is not None:
            write_origin(run.folder, self.name)
            run.work(as_needed(config.executor, run), config.array)
            log.info("element %s is complete; jobs.merge run.dir=%s when all are", config.array.element, run.folder)
            return
        todo, done = run.unfinished()
        if not todo and is_finished(run.manifest, run.folder, config.merge.reads):
            log.info("0 shards to do, and nothing has changed since the run was finished")
            run.keep(done)
            print(f"result:     {run.folder / RESULT} ({run.manifest.rows:,} rows, as before)")
            print(f"finished before; jobs.merge run.dir={run.folder} makes submission and report again")
            copy_out(run.folder, config.run.out)
            publish(run.folder, config.publish)
            return
        self.outcome.check(run, config.merge)
        write_origin(run.folder, self.name)
        with tracked(config.track, run.folder, run.manifest) as tracker:
            run.work(as_needed(config.executor, run), tell=tracker.progress)
            self.outcome.finish(run.folder, config.merge, config.run.max_error_rate)
            write_finished(run.manifest, run.folder, config.merge.reads)
        copy_out(run.folder, config.run.out)
        publish(run.folder, config.publish)

    def plan(self, config: Config) -> Run:
        """The run of a config, new or to be resumed. Raises what `Run.open` raises."""
        recipe = self.recipe(config)
        try:
            return Run.open(self.name, config.run, recipe, config.array, config.store)
        except AnotherPlan as error:
            own = f"task.{self.name}."  # what jobs.merge takes
            settings = {key: value for key, value in settings_of_rule(recipe.task).items() if key.startswith(own)}
            if self._asks_the_same(error, recipe, config):
                why = f"{error}\nIn another one nothing that was answered is computed again: the store remembers it."
                raise AnotherPlan(why, error.keys) from None
            if self.name not in RULES or not settings.keys() >= set(error.keys):
                raise
            rule = " ".join(f"{key.removeprefix('task.')}={settings[key]}" for key in error.keys)
            line = f"jobs.merge run.dir={config.run.dir} merge.out=FILE {rule}"
            why = f"{error}\nFor a submission by another rule no engine is needed: {line}"
            raise AnotherPlan(why, error.keys) from None

    @staticmethod
    def _asks_the_same(error: AnotherPlan, recipe: Recipe, config: Config) -> bool:
        """Whether only the input, or what is read of it, differs, as where labels were added; and answers are kept."""
        of_data = all(key.startswith(("data.", "input.")) for key in error.keys)
        return of_data and isinstance(recipe.engine, ModelConfig) and config.store.dir is not None

    def open(self, config: Config) -> Run:
        """The same, with its config written down."""
        run = self.plan(config)
        whole = OmegaConf.structured(replace(config, array=ArrayConfig()))
        content = OmegaConf.create(public(OmegaConf.to_container(whole)))
        write_text(run.folder / CONFIG, OmegaConf.to_yaml(content))
        return run

    def _show_requests(self, config: Config) -> None:
        """Print the first requests as the model would get them. Loads a tokenizer, no model."""
        with (
            TemporaryDirectory() as place
        ):  # a plan that is kept asks nothing that is remembered, so it may show nothing
            run = Run.open(self.name, replace(config.run, dir=place), self.recipe(config))
            rows = keyed_rows(run, 0, 0, min(config.preview, run.manifest.inputs[0].asked))
        tokenizer = run.engine.load_tokenizer()
        prepared = run.task.prepare(rows.filter(pc.is_null(rows["error"])), tokenizer, run.engine.max_tokens)
        print("\n".join(preview(prepared.requests[: config.preview], tokenizer)))
