"""Plan a run before anything is loaded: rows, tokens, cuts, shards, time.

python -m jobs.plan plan.job=judge data=arena data.path=FILE engine=smollm2_135m
"""

from dataclasses import dataclass
from enum import Enum

from jobs import arena, embed, generate, judge, rerank
from lib.data.rows.base import RowsConfig
from lib.data.submission import MergeConfig
from lib.launch import command_line, compose_job, launch
from lib.pipeline.job import EngineJobConfig
from lib.pipeline.planning.estimate import EstimateConfig
from lib.pipeline.planning.print_plan import print_plan
from lib.pipeline.run import open_run
from lib.pipeline.texts import FormatConfig
from lib.tasks.embedding import EmbedConfig
from lib.tasks.pairwise import PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.reranking import RerankConfig
from lib.tasks.reward import ArenaConfig
from lib.tasks.sampling import SamplingConfig


class Job(Enum):
    """The jobs that a model works on, row by row."""

    judge = "judge"
    arena = "arena"
    embed = "embed"
    rerank = "rerank"
    generate = "generate"


MODULES = {Job.judge: judge, Job.arena: arena, Job.embed: embed, Job.rerank: rerank, Job.generate: generate}


@dataclass(frozen=True, kw_only=True)
class AnyMerge(MergeConfig, FormatConfig):
    """What the jobs' results become: submissions, or files of a format."""


@dataclass(frozen=True, kw_only=True)
class AnyJob(EngineJobConfig):
    """The config groups of all these jobs, so that the line of any is understood."""

    data: RowsConfig
    prompt: PromptConfig
    judge: PairwiseConfig
    arena: ArenaConfig
    embed: EmbedConfig
    rerank: RerankConfig
    generate: SamplingConfig
    merge: AnyMerge


@dataclass(frozen=True, kw_only=True)
class Plan(EstimateConfig):
    """job: the job to plan, with the config it will run with."""

    job: Job


@dataclass(frozen=True, kw_only=True)
class Config(AnyJob):
    """`conf/plan.yaml`."""

    plan: Plan


def main(config: Config) -> None:
    """Run the job."""
    name, module = config.plan.job.value, MODULES[config.plan.job]
    overrides = [override for override in command_line() if not override.lstrip("+").startswith("plan.")]
    job = compose_job(name, module.Config, overrides)  # with the defaults of that job, not of this one
    spec = open_run(name, job.run, module.asked(job))
    print_plan(spec, job.run, job.executor, config.plan)


if __name__ == "__main__":
    launch(main, Config, "plan")
