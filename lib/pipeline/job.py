"""What every job about rows does: open its run, and work on a part of it or on all."""

from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.compute as pc
from omegaconf import OmegaConf

from lib import engines
from lib.data.atomic import write_text
from lib.data.merging import RESULT, Merged
from lib.data.reading.intake import read_rows
from lib.engines.base import EngineConfig
from lib.log import log
from lib.pipeline.executors.base import ExecutorConfig
from lib.pipeline.part import WHOLE, ShardsConfig
from lib.pipeline.run import Recipe, RunConfig, execute, open_run, require_error_rate, work
from lib.pipeline.worker import Spec
from lib.tasks.prompts.preview import preview


@dataclass(frozen=True, kw_only=True)
class JobConfig:
    """The config groups that every job about rows has."""

    executor: ExecutorConfig
    run: RunConfig
    shards: ShardsConfig


@dataclass(frozen=True, kw_only=True)
class EngineJobConfig(JobConfig):
    """Those of a job whose engine is a model."""

    engine: EngineConfig


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """For jobs about a run that is there already. dir: its folder."""

    dir: str | None = None


def begin(job: str, config: JobConfig, asked: Recipe) -> Spec:
    """Open the run, new or to be resumed, and write down its config. Raises what `open_run` raises."""
    spec = open_run(job, config.run, asked, config.shards)
    write_text(spec.folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(replace(config, shards=WHOLE))))
    return spec


def work_on_part(spec: Spec, config: JobConfig) -> None:
    """Do this process's part of a run, without the merge."""
    work(spec, config.run, config.executor, config.shards)
    log.info("part %s is complete; jobs.merge run.dir=%s when all parts are", config.shards.part, spec.folder)


def run_table(job: str, config: JobConfig, asked: Recipe) -> Path:
    """Plan or resume, execute and merge; of a part of a run: plan and execute only. Returns the run's folder.

    Raises RunFailed where too many rows failed.
    """
    spec = begin(job, config, asked)
    if not config.shards.whole:
        work_on_part(spec, config)
        return spec.folder
    merged = execute(spec, config.run, config.executor)
    require_error_rate(merged, config.run.max_error_rate, spec.folder)
    print_result(merged, spec.folder)
    return spec.folder


def show_requests(job: str, config: JobConfig, asked: Recipe, count: int) -> None:
    """Plan or resume, and print the first requests as the model would get them. Loads a tokenizer, no model."""
    spec = open_run(job, config.run, asked, config.shards)
    file = spec.manifest.inputs[0]
    rows = read_rows(file, spec.folder, 0, min(count, file.rows), asked.data)
    tokenizer = engines.load_tokenizer(asked.engine)
    prepared = asked.task.prepare(rows.filter(pc.is_null(rows["error"])), tokenizer, asked.engine.max_model_len)
    print("\n".join(preview(prepared.requests[:count], tokenizer)))


def print_result(merged: Merged, folder: Path) -> None:
    """Say where the result is, and what failed in it."""
    failed = f", {merged.failed:,} of them failed" if merged.failed else ""
    print(f"result:     {folder / RESULT} ({merged.rows:,} rows{failed})")
