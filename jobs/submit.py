"""Submit a job to a cluster: its input is checked and its run planned here, then it is queued.

python -m jobs.submit cluster=slurm job=judge data=arena data.path=FILE engine=smollm2_135m
"""

from dataclasses import dataclass

from jobs.plan import MODULES, AnyJob, Job
from lib.cluster.clusters import ClusterConfig
from lib.cluster.dispatch import Desk
from lib.cluster.submitting import PlannedRun, SubmitConfig, job_overrides, submit
from lib.errors import ConfigError
from lib.launch import command_line, compose_job, launch
from lib.pipeline.run import open_run


@dataclass(frozen=True, kw_only=True)
class Config(AnyJob):
    """`conf/submit.yaml`."""

    job: Job
    cluster: ClusterConfig
    submit: SubmitConfig


def main(config: Config) -> None:
    """Run the job."""
    name, module = config.job.value, MODULES[config.job]
    overrides = job_overrides(command_line(), config.cluster)
    # Exactly what will run there: with the defaults of that job, not of this one.
    job = compose_job(name, module.Config, [*overrides, f"executor={config.cluster.executor}"])
    spec = open_run(name, job.run, module.asked(job))
    if job.run.grace_seconds >= config.cluster.notice:
        raise ConfigError(
            f"run.grace_seconds={job.run.grace_seconds:g}: must be less than cluster.signal_seconds="
            f"{config.cluster.notice:g}, which is all the time between the signal to stop and the end"
        )
    here = f"run.dir={spec.folder}"
    merge = [here, f"run.max_error_rate={job.run.max_error_rate}", *(o for o in overrides if o.startswith("merge."))]
    request = PlannedRun(
        manifest=spec.manifest,
        job=name,
        overrides=[*(o for o in overrides if not o.startswith("run.dir=")), here],
        merge=merge,
    )
    submit(config.cluster, config.submit, request, Desk(spec.folder))


if __name__ == "__main__":
    flags = {"--missing": "submit.missing=true", "--dry-run": "submit.dry_run=true", "--wait": "submit.wait=true"}
    launch(main, Config, "submit", flags)
