"""A Ray cluster that runs already: submitting to it through its job-submission client."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lib.cluster.dispatch import ENDED, UNKNOWN, Dispatch, State
from lib.errors import ClusterError

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails
    from ray.job_submission import JobSubmissionClient

_NOT_YET = 120.0  # seconds
Answer = TypeVar("Answer")


def submit(address: str, entrypoint: str, code: Path, name: str) -> str:
    """Submit a shell line, to be run in a copy of the folder `code`; the job's id.

    A cluster that has just begun takes no jobs yet: it gets two minutes. Raises ClusterError.
    """
    environment = {"working_dir": str(code), "excludes": ["**/__pycache__"]}
    end = time.monotonic() + _NOT_YET
    while True:
        try:
            return _ask(
                address,
                lambda client: str(
                    client.submit_job(entrypoint=entrypoint, submission_id=name, runtime_env=environment)
                ),
            )
        except ClusterError as error:
            if "No available agent" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(2)


def states(submission: Dispatch) -> dict[str, State]:
    """The states of a submission's jobs. Raises ClusterError where the cluster can't be reached."""
    address = submission.address
    assert address is not None
    there = {info.submission_id: info for info in _ask(address, lambda client: client.list_jobs())}
    return {job: _state(there[job]) if job in there else State(UNKNOWN, None) for job in submission.ids}


def cancel(submission: Dispatch) -> dict[str, State]:
    """End what runs of a submission's jobs; what was ended, and how each of them stood. Raises ClusterError."""
    active = {job: state for job, state in states(submission).items() if state.active}
    address = submission.address
    assert address is not None
    for job in active:
        _ask(address, partial(_stop, job))
    return active


def _stop(job: str, client: "JobSubmissionClient") -> bool:
    return bool(client.stop_job(job))


def follow(address: str, job: str) -> State:
    """Print what the job's driver prints until it ends; how it ended."""

    async def tail(client: "JobSubmissionClient") -> None:
        async for lines in client.tail_job_logs(job):
            print(lines, end="", flush=True)

    _ask(address, lambda client: asyncio.run(tail(client)))
    return _state(_ask(address, lambda client: client.get_job_info(job)))


def _state(info: "JobDetails") -> State:
    name = str(info.status.value)
    return State(name, info.driver_exit_code if name in ENDED else None)


def _ask(address: str, question: Callable[["JobSubmissionClient"], Answer]) -> Answer:
    from ray.job_submission import JobSubmissionClient

    try:
        return question(JobSubmissionClient(address))
    except (ConnectionError, RuntimeError) as error:
        raise ClusterError(f"{address}: Ray's dashboard does not do that: {' '.join(str(error).split())}") from error
