"""Plan a run before anything is loaded: rows, tokens, cuts, shards, time.

python -m jobs.plan plan.job=judge data=arena data.path=FILE engine=smollm2_135m
"""

from dataclasses import dataclass
from enum import Enum

from lib.launch import launch
from lib.pipeline.battles import BattleJobConfig
from lib.pipeline.estimate import EstimateConfig
from lib.pipeline.planning import print_plan
from lib.pipeline.run import open_run
from lib.tasks.base import Task
from lib.tasks.pairwise import Pairwise, PairwiseConfig
from lib.tasks.prompts import PromptConfig
from lib.tasks.reward import ArenaConfig, Reward


class Job(Enum):
    """The job to plan."""

    judge = "judge"
    arena = "arena"


@dataclass(frozen=True, kw_only=True)
class Plan(EstimateConfig):
    """job: the job to plan, with the config it will run with."""

    job: Job


@dataclass(frozen=True, kw_only=True)
class Config(BattleJobConfig):
    """`conf/plan.yaml`."""

    plan: Plan
    prompt: PromptConfig
    judge: PairwiseConfig
    arena: ArenaConfig


def main(config: Config) -> None:
    """Run the job."""
    task: Task = Reward(config.arena) if config.plan.job is Job.arena else Pairwise(config.judge, config.prompt)
    spec = open_run(config.plan.job.value, config.run, config.data, config.engine, task)
    print_plan(spec, config.run, config.executor, config.plan)


if __name__ == "__main__":
    launch(main, Config, "plan")
