"""How a run stands, from its folder and from the scheduler, asked from anywhere that sees the folder."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lib.cluster import ray_jobs, slurm
from lib.cluster.dispatch import UNKNOWN, State, desks, submissions
from lib.data.manifest import Manifest, read_manifest
from lib.data.run_folder import MANIFEST, METRICS, PROGRESS, RESULT, read_object
from lib.data.shards import unfinished
from lib.errors import ClusterError, RunFolderError
from lib.pipeline.outcomes.base import Outcome

_FRESH = 900.0  # seconds since a process that says it runs last finished a shard


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a run stands. rows, done, failed: numbers of rows; rate: rows/s of the processes that work on it now.

    score: the one figure that a line about such a run shows. hours: from its plan to its result, or to now.
    merged: whether the result is there.
    """

    manifest: Manifest
    done: int
    failed: int
    rate: float
    score: str | None
    hours: float
    merged: bool

    @property
    def summary(self) -> str:
        """One line for a mail or a chat."""
        state = "complete" if self.merged else "unfinished"
        score = "" if self.score is None else f", {self.score}"
        rows = f"{self.done:,} of {self.manifest.rows:,} rows, {self.failed:,} failed"
        return f"{self.manifest.job} {state}: {rows}{score}, {self.hours:.1f} h"

    @property
    def progress(self) -> str:
        """Rows, failures, rate and time left."""
        left = self.manifest.rows - self.done
        rate = f", {self.rate:,.1f} rows/s, {left / self.rate:,.0f} s left" if self.rate and left else ""
        return f"{self.done:,} of {self.manifest.rows:,} rows, {self.failed:,} failed{rate}"


def read_status(run: Path, outcomes: Mapping[str, Outcome]) -> Status:
    """How the run stands. outcomes: by the job's name. Raises RunFolderError where the folder holds none, or
    a file of it is damaged."""
    manifest = read_manifest(run)
    todo, done = unfinished(manifest, run, retry_failed=False)
    merged = (run / RESULT).exists() and not todo
    end = (run / RESULT).stat().st_mtime if merged else time.time()
    metrics = read_object(run / METRICS) if (run / METRICS).exists() else {}
    return Status(
        manifest=manifest,
        done=sum(footer.rows for footer in done) + manifest.rows - manifest.asked,
        failed=sum(footer.failed for footer in done),
        rate=sum(_rate(path) for path in run.glob(f"{Path(PROGRESS).stem}*.json")),
        score=outcomes[manifest.job].score(metrics) if merged else None,
        hours=(end - (run / MANIFEST).stat().st_mtime) / 3600,
        merged=merged,
    )


def in_stages(run: Path) -> bool:
    """Whether a folder is that of a job in stages that was submitted: its runs lie in it, each with its own status."""
    return not (run / MANIFEST).exists() and bool(desks(run))


def print_status(run: Path, outcomes: Mapping[str, Outcome]) -> None:
    """Print how the run stands, or each stage of it, and the states of the jobs that were submitted for it."""
    print(f"run folder: {run}" if in_stages(run) else _standing(run, outcomes))
    for stage in sorted(path.parent for path in run.glob(f"*/{MANIFEST}")) if in_stages(run) else []:
        print(_standing(stage, outcomes))
    try:
        states = ", ".join(f"{job} {state}" for job, state in job_states(run).items())
    except ClusterError as error:
        states = f"unknown here ({error})"
    print(f"jobs:       {states or 'none submitted'}", flush=True)


def _standing(run: Path, outcomes: Mapping[str, Outcome]) -> str:
    status = read_status(run, outcomes)
    result = "there" if status.merged else "not yet"
    return f"run folder: {run}\nprogress:   {status.progress}\nresult:     {result}"


def cancel_jobs(run: Path) -> dict[str, State]:
    """End what the schedulers have of a run: what was ended, and how each of them stood.

    Jobs that were submitted without jobs.submit, and others of the user's, go on. Raises ClusterError where a scheduler
    can't be asked.
    """
    submitted = submissions(run)
    ended = slurm.cancel(desks(run)) if any(one.address is None for one in submitted) else {}
    for one in submitted:
        if one.address is not None:
            ended |= ray_jobs.cancel(one)
    return ended


def job_states(run: Path) -> dict[str, State]:
    """The states of all jobs that were submitted for a run; UNKNOWN where the scheduler knows nothing of one.

    Raises ClusterError where a scheduler can't be asked.
    """
    submitted = submissions(run)
    of_slurm = [one for one in submitted if one.address is None]
    here = slurm.settings().get("ClusterName") if of_slurm else None
    known = slurm.states([job for one in of_slurm if one.cluster in (None, here) for job in one.ids])
    names = {name.partition("_")[0] for name in known}
    states = known | {job: State(UNKNOWN, None) for one in of_slurm for job in one.ids if job not in names}
    for one in submitted:
        if one.address is not None:
            states |= ray_jobs.states(one)
    return states


def _rate(path: Path) -> float:
    progress = read_object(path)
    try:
        fresh = progress["state"] == "running" and time.time() - progress["updated"] < _FRESH
        return float(progress["rows_per_s"]) if fresh else 0.0
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{path}: says nothing of how fast the run is ({error}); delete it") from error
