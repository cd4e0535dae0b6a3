"""Submitting a run: rendered, shown, submitted, recorded.

Not with submitit: it pickles functions, and has neither the array's merge job nor our exit codes; a point of a sweep
that fails would leave its Slurm job COMPLETED.
"""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.cluster import ray_jobs, slurm
from lib.cluster.clusters import ClusterConfig, RayJobsConfig, SlurmArrayConfig, SlurmConfig
from lib.cluster.dispatch import Desk, State
from lib.cluster.run_status import job_states
from lib.cluster.script import SITE, Script, python_of, render
from lib.cluster.site import site_script
from lib.data.manifest import Shard
from lib.data.run_folder import LOG
from lib.errors import ClusterError, ConfigError, JobEnded, RunFolderError, Stopped
from lib.invoked import invocation
from lib.log import log
from lib.urls import without_secrets

SERVER = "executor=server"  # one that all clusters have room for beside their own


@dataclass(frozen=True, kw_only=True)
class SubmitConfig:
    """dry_run: show, submit nothing. missing: of an array, only the elements with unfinished shards.

    wait: until the job ends, and exit as it does.
    """

    dry_run: bool = False
    missing: bool = False
    wait: bool = False


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A planned run to be submitted.

    todo: shards that are left to be done; None for a job in stages. overrides: the job's, without executor and array
    element; merge: those of the jobs.merge that merges its shards. run_here: does what is left in this process.
    """

    todo: Sequence[Shard] | None
    job: str
    overrides: Sequence[str]
    merge: Sequence[str]
    run_here: Callable[[], None]


@dataclass(frozen=True)
class Queued:
    """A script that is to be submitted. after: names of those that must have ended before it begins."""

    name: str
    script: Script
    after: Sequence[str] = ()


def job_overrides(overrides: Sequence[str], cluster: ClusterConfig) -> list[str]:
    """What of the command line of `jobs.submit` belongs to the job. Raises ConfigError for what the cluster decides.

    The cluster's own executor is left out, since its scripts add it; `executor=server` is kept.
    """
    kept, usual = [], f"executor={cluster.executor}"
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key == "executor" and override not in (usual, SERVER):
            raise ConfigError(f"{override}: here it must be {usual} or {SERVER} (or choose another cluster)")
        if key.partition(".")[0] == "array":
            raise ConfigError(f"{override}: the cluster shares out the shards (cluster.count)")
        if override != usual:
            kept.append(override)
    return kept


def with_executor(overrides: Sequence[str], cluster: ClusterConfig) -> list[str]:
    """The words of a job, with the executor that it has there."""
    return [*overrides, *([] if SERVER in overrides else [f"executor={cluster.executor}"])]


def submit(cluster: ClusterConfig, config: SubmitConfig, request: PlannedRun, desk: Desk) -> None:
    """Submit a run, and print the jobs' ids and the run folder. One of which no shard is left is finished here.

    Raises ConfigError or RunFolderError before anything is submitted, ClusterError where the cluster refuses, having
    waited, JobEnded or Stopped where the job did not end well, and what finishing here raises.
    """
    if config.missing and not isinstance(cluster, SlurmArrayConfig):
        raise ConfigError("submit.missing=true is for cluster=slurm_array; with others the same line resumes the run")
    if not config.dry_run:
        _require_idle(desk.run)
    print(f"run folder: {desk.run}")
    if request.todo is not None and not request.todo:
        ending = "would be" if config.dry_run else "is"
        print(f"nothing is left to be done: no job is submitted, the run {ending} finished here", flush=True)
        if not config.dry_run:
            request.run_here()
        return
    if isinstance(cluster, RayJobsConfig):
        _to_ray(cluster, config, request, desk)
    elif isinstance(cluster, SlurmArrayConfig):
        _to_array(cluster, config, request, desk)
    else:
        assert isinstance(cluster, SlurmConfig)
        script = render(cluster, desk, "ray.sbatch", [request.job, *request.overrides])
        _to_slurm(cluster, config, [Queued("job.sbatch", script)], desk)


def _require_idle(run: Path) -> None:
    try:
        active = [f"{job} ({state})" for job, state in job_states(run).items() if state.active]
    except ClusterError as error:
        log.warning("can't tell whether an earlier job still works on this run: %s", error)
        return
    if active:
        raise RunFolderError(
            f"{run}: is being worked on by {', '.join(active)}; wait for its end, or end it: {_about('cancel', run)}"
        )


def _to_array(cluster: SlurmArrayConfig, config: SubmitConfig, request: PlannedRun, desk: Desk) -> None:
    if request.todo is None:
        raise ConfigError(
            f"cluster=slurm_array: jobs.{request.job} has stages that wait for each other; use cluster=slurm"
        )
    elements = list(range(cluster.count))
    if config.missing:
        elements = sorted({shard.number % cluster.count for shard in request.todo})
        print(f"missing:    {len(request.todo)} shards, of elements {_ranges(elements)} of {cluster.count}")
    at_once = f"%{cluster.at_once}" if cluster.at_once else ""
    line, queue = [request.job, *request.overrides], list[Queued]()
    for offset, numbers in slices(elements, _array_size(config)):
        # So many at once are so many of all slices together: then these follow each other.
        after = [queue[-1].name] if queue and cluster.at_once else []
        array = _ranges(numbers) + at_once
        script = render(cluster, desk, "array.sbatch", line, array=array, offset=offset, first=not after, last=False)
        queue.append(Queued(f"job-{offset}.sbatch" if offset else "job.sbatch", script, after))
    merge = render(cluster, desk, "merge.sbatch", request.merge, first=False)
    queue.append(Queued("merge.sbatch", merge, [one.name for one in queue]))
    _to_slurm(cluster, config, queue, desk)


def slices(elements: Sequence[int], size: int) -> list[tuple[int, list[int]]]:
    """Sorted elements in arrays whose numbers are below `size`: what number 0 of each stands for, and its numbers."""
    found: dict[int, list[int]] = {}
    for element in elements:
        found.setdefault(element - element % size, []).append(element % size)
    return list(found.items())


def _array_size(config: SubmitConfig) -> int:
    """How many elements Slurm takes in one array; for a dry run without Slurm: any number."""
    try:
        size = int(slurm.settings().get("MaxArraySize", "1001"))
    except ClusterError:
        if config.dry_run:
            return sys.maxsize
        raise
    if size < 1:
        raise ConfigError("cluster=slurm_array: this Slurm takes no job arrays (MaxArraySize=0); use cluster=slurm")
    return size


def _to_slurm(cluster: SlurmConfig, config: SubmitConfig, queue: Sequence[Queued], desk: Desk) -> None:
    """Submit scripts in their order, each to begin when those it is after have ended, however they end."""
    texts = {one.name: one.script.text for one in queue}
    if (site := site_script(cluster)) is not None:
        texts[SITE] = site
    if config.dry_run:
        for name, text in texts.items():
            print(f"--- {desk.folder / name}\n{text}", end="")
        return
    desk.open(texts)
    ids: dict[str, str] = {}
    here = slurm.cluster_name()
    for one in queue:
        after = [f"--dependency=afterany:{':'.join(ids[other] for other in one.after)}"] if one.after else []
        try:
            # On the command line too, where they count more than SBATCH_ variables; in the script they count less.
            ids[one.name] = slurm.sbatch(str(desk.folder / one.name), *one.script.options, *after)
        except ClusterError as error:
            before = f"; {' '.join(ids.values())} had been submitted: {_about('cancel', desk.run)} ends them"
            raise ClusterError(f"{error}{before if ids else ''}") from error
        desk.record([*ids.values()], cluster=here)
    last = ids[queue[-1].name]
    print(f"jobs:       {' '.join(ids.values())}\nstatus:     {_about('status', desk.run)}", flush=True)
    if config.wait:
        _end(last, slurm.wait(last), desk)


def _to_ray(cluster: RayJobsConfig, config: SubmitConfig, request: PlannedRun, desk: Desk) -> None:
    line = [python_of(cluster), "-m", f"jobs.{request.job}", *with_executor(request.overrides, cluster)]
    # Modules come from the copy of the code, which is the job's folder; relative paths mean what they mean here.
    entrypoint = (
        f'export PYTHONPATH="$PWD" PYTHONSAFEPATH=1 && cd {shlex.quote(os.getcwd())} && exec {shlex.join(line)}'
    )
    if config.dry_run:
        print(f"--- {without_secrets(cluster.address)}, working_dir={desk.code}\n{entrypoint}")
        return
    desk.open({})
    job = ray_jobs.submit(cluster.address, entrypoint, desk.code, f"{request.job}-{desk.folder.name}")
    desk.record([job], cluster.address)
    print(f"jobs:       {job}\nstatus:     {_about('status', desk.run)}", flush=True)
    if config.wait:
        _end(job, ray_jobs.follow(cluster.address, job), desk)


def _about(job: str, run: Path) -> str:
    return f"{invocation(job)} run.dir={shlex.quote(str(run))}"


def _end(job: str, state: State, desk: Desk) -> None:
    """Raise JobEnded or Stopped where a job did not end well."""
    print(f"job {job}: {state}")
    if state.name in ("COMPLETED", "SUCCEEDED"):
        return
    if state.exit_code in (1, 2):
        raise JobEnded(f"job {job} failed; its output and {desk.run / LOG} say why", state.exit_code)
    raise Stopped(f"job {job} ended unfinished ({state})", 75)


def _ranges(numbers: Sequence[int]) -> str:
    """Sorted numbers as sbatch's --array takes them: 0-3,7."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
