"""Download ahead what the engines of a job's line read of the hub, for compute nodes without network.

python -m jobs.fetch engine=qwen3_8b

python -m jobs.fetch fetch.job=rag data.path=FILE documents.path=FILE engine@generator=qwen3_8b
"""

from dataclasses import dataclass

from jobs.plan import JOBS, require_known
from lib.launch import compose_line, launch
from lib.pipeline.command import CommandAboutJob
from lib.pipeline.models.fetching import FetchConfig, engines_of, fetch
from lib.pipeline.staged.staged_job import StagedJob


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/fetch.yaml`."""

    fetch: FetchConfig

    def __post_init__(self) -> None:
        require_known(self.fetch.job, "fetch.job")


def main(config: Config, overrides: list[str]) -> None:
    """Run the job."""
    job = JOBS[config.fetch.job]
    line = compose_line(job, overrides, config)
    fetch(job.engines(line) if isinstance(job, StagedJob) else engines_of(line))


JOB = CommandAboutJob("fetch", Config, main)

if __name__ == "__main__":
    launch(JOB)
