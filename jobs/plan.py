"""Plan a run before anything is loaded: rows, tokens, cuts, shards, time.

python -m jobs.plan plan.job=judge data=arena data.path=FILE engine=smollm2_135m
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs import arena, chunk, embed, generate, grade, judge, rag, rerank, retrieve, tournament
from lib.errors import ConfigError, HubUnreachable
from lib.launch import compose_line, launch
from lib.pipeline.command import CommandAboutJob
from lib.pipeline.job import Job
from lib.pipeline.planning.estimate import EstimateConfig
from lib.pipeline.planning.print_plan import print_plan
from lib.pipeline.staged.staged_job import StagedJob

JOBS: Mapping[str, Job[Any] | StagedJob[Any]] = {
    "judge": judge.JOB,
    "arena": arena.JOB,
    "generate": generate.JOB,
    "grade": grade.JOB,
    "chunk": chunk.JOB,
    "embed": embed.JOB,
    "retrieve": retrieve.JOB,
    "rerank": rerank.JOB,
    "rag": rag.JOB,
    "tournament": tournament.JOB,
}


@dataclass(frozen=True, kw_only=True)
class PlanConfig(EstimateConfig):
    """job: the job to plan, whose own line stands beside `plan`."""

    job: str = "judge"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known(self.job, "plan.job")


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/plan.yaml`."""

    plan: PlanConfig


def require_known(job: str, key: str) -> None:
    """Raise ConfigError for a job that has no runs to be planned."""
    if job not in JOBS:
        raise ConfigError(f"{key}={job}: must be one of {', '.join(JOBS)}")


def main(config: Config, overrides: list[str]) -> None:
    """Run the job."""
    job = JOBS[config.plan.job]
    planned = compose_line(job, overrides, config)
    try:
        if isinstance(job, StagedJob):
            job.plan(planned, config.plan)
        else:
            print_plan(job.plan(planned), planned.executor, config.plan)
    except HubUnreachable as error:
        line = f"python -m jobs.fetch {shlex.join([f'fetch.job={config.plan.job}', *overrides])}"
        raise HubUnreachable(
            f"{error}\nWhere there is network, with the same HF_HOME, this line gets it:\n  {line}"
        ) from error


JOB = CommandAboutJob("plan", Config, main)

if __name__ == "__main__":
    launch(JOB)
