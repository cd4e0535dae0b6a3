"""Submit a job to a cluster: its input is checked and its run planned here, then it is queued.

A run of which nothing is left to be done asks for no node: it is finished here.

python -m jobs.submit cluster=slurm job=judge data=arena data.path=FILE engine=smollm2_135m
"""

from dataclasses import dataclass
from functools import partial

from jobs.plan import JOBS, require_known
from lib.cluster.clusters import ClusterConfig
from lib.cluster.dispatch import Desk
from lib.cluster.submitting import PlannedRun, SubmitConfig, job_overrides, submit, with_executor
from lib.command_line import as_value
from lib.data.delivery import require_writable
from lib.data.hub.publishing import require_publishable
from lib.errors import ConfigError
from lib.launch import compose_line, launch
from lib.pipeline.command import CommandAboutJob
from lib.pipeline.staged.staged_job import StagedJob
from lib.pipeline.tracking.tracking import require_tracker

_OF_MERGE = ("merge.", "run.out=", "publish=", "publish.")  # overrides of what is made when an array is done


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/submit.yaml`. job: the job to submit, whose own line stands beside `cluster` and `submit`."""

    job: str
    cluster: ClusterConfig
    submit: SubmitConfig

    def __post_init__(self) -> None:
        require_known(self.job, "job")


def main(config: Config, overrides: list[str]) -> None:
    """Run the job."""
    job = JOBS[config.job]
    overrides = job_overrides(overrides, config.cluster)
    # Exactly what will run there: with the defaults of that job, not of this one.
    planned = compose_line(job, with_executor(overrides, config.cluster), config)
    if planned.run.grace_seconds >= config.cluster.notice:
        raise ConfigError(
            f"run.grace_seconds={planned.run.grace_seconds:g}: must be less than cluster.signal_seconds="
            f"{config.cluster.notice:g}, which is all the time between the signal to stop and the end"
        )
    require_tracker(planned.track)
    require_writable(planned.run.out, planned.run.dir)
    require_publishable(planned.publish)
    if isinstance(job, StagedJob):
        folder, todo = job.begin(planned), None
    else:
        run = job.plan(planned)
        folder, todo = run.folder, run.unfinished()[0] if run.manifest.computed else []
    here = f"run.dir={as_value(str(folder))}"
    store = "null" if planned.store.absolute is None else as_value(planned.store.absolute)
    named = ("run.dir=", "run.name=", "run.root=", "store.dir=")
    of_merge = [override for override in overrides if override.lstrip("+").startswith(_OF_MERGE)]
    request = PlannedRun(
        todo=todo,
        job=job.name,
        overrides=[*(o for o in overrides if not o.lstrip("+").startswith(named)), here, f"store.dir={store}"],
        merge=[here, f"run.max_error_rate={planned.run.max_error_rate}", *of_merge],
        run_here=partial(job.main, planned),
    )
    submit(config.cluster, config.submit, request, Desk(folder))


FLAGS = {"--missing": "submit.missing=true", "--dry-run": "submit.dry_run=true", "--wait": "submit.wait=true"}
JOB = CommandAboutJob("submit", Config, main, FLAGS)

if __name__ == "__main__":
    launch(JOB)
