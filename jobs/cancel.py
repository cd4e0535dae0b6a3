"""Cancel a run: what the scheduler has of it is ended, and nothing else. What is done stays, and can be resumed.

python -m jobs.cancel run.dir=DIR
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from jobs._outcomes import OUTCOMES
from lib.cluster.run_status import cancel_jobs, in_stages, job_states, read_status
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.command import Command
from lib.pipeline.run_config import RunDir


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/cancel.yaml`."""

    run: RunDir

    def __post_init__(self) -> None:
        if self.run.dir is None:
            raise ConfigError("give run.dir=DIR")


def main(config: Config) -> None:
    """Run the job."""
    run = Path(str(config.run.dir)).resolve()
    progress = None if in_stages(run) else read_status(run, OUTCOMES).progress
    print(f"run folder: {run}")
    ended = cancel_jobs(run)
    if not ended:
        known = ", ".join(f"{job} {state}" for job, state in job_states(run).items())
        print(f"cancelled:  nothing, since no job of this run waits or works ({known or 'none was submitted'})")
        return
    jobs = Counter((job.partition("_")[0], state.name) for job, state in ended.items())
    print(f"cancelled:  {', '.join(f'{job} ({count} {name})' for (job, name), count in sorted(jobs.items()))}")
    if progress is not None:
        print(f"progress:   {progress}")
    print("resume:     the line that was submitted, typed again when these have ended, does what is left")


JOB = Command("cancel", Config, main)

if __name__ == "__main__":
    launch(JOB)
