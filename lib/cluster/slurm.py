"""Slurm's commands: submitting scripts, and asking what became of them."""

import getpass
import os
import re
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePath

from lib.cluster.dispatch import ENDED, State
from lib.errors import ClusterError
from lib.log import log

_ASK_EVERY = 5.0  # seconds


def sbatch(script: str, *options: str) -> str:
    """Submit the script at a path; the job's id. Raises ClusterError with what sbatch says where it refuses."""
    return _run("sbatch", "--parsable", *options, script, environment=_for_sbatch()).strip().partition(";")[0]


def states(ids: Sequence[str]) -> dict[str, State]:
    """The states of jobs, and of arrays' elements as ID_INDEX; those that Slurm has forgotten are left out.

    Raises ClusterError where there is no Slurm.
    """
    if not ids:
        return {}
    # The queue knows first: accounting lags by seconds.
    queue = {name: State(state, None) for base, name, state in _queue("%F|%i|%T") if base in ids}
    found: dict[str, State] = {}
    try:
        lines = _run("sacct", "-nPX", "-j", ",".join(ids), "-o", "jobid,state,exitcode").splitlines()
    except ClusterError:  # a site without accounting
        lines = []
    known = {re.split("[_|]", line)[0] for line in lines} | {name.split("_")[0] for name in queue}
    # scontrol remembers for a few minutes what accounting does not know, or not yet.
    lines += [line for one in ids if one not in known for line in _from_scontrol(one)]
    for line in lines:
        name, state, code = line.split("|")
        state = state.split()[0].rstrip("+")  # "CANCELLED by 0"
        found[name] = State(state, _exit_code(code) if state in ENDED else None)
    found |= queue
    # 7_[2-3]: while they wait, the queue has each of them
    return {name: state for name, state in found.items() if "[" not in name or not state.active}


def cancel(desks: Collection[str]) -> dict[str, State]:
    """End all that the queue has of scripts in folders of these names; what was ended, and how each of them stood.

    They are known by the script, since ids may be another's: those of a Slurm that was set up anew begin at 1.
    """
    found, jobs = {}, dict[str, None]()
    for base, name, state, script in _queue("%F|%i|%T|%o"):
        if PurePath(script).parent.name in desks:
            found[name] = State(state, None)
            jobs[base] = None
    if jobs:  # the last first: what merges an array would begin when that ends
        _run("scancel", *sorted(jobs, key=int, reverse=True))
    return found


def settings() -> dict[str, str]:
    """How this Slurm is set up, as `scontrol show config` says. Raises ClusterError where there is none."""
    lines = (line.partition("=") for line in _run("scontrol", "show", "config").splitlines())
    return {name.strip(): value.strip() for name, equals, value in lines if equals}


def cluster_name() -> str | None:
    """The name of this Slurm's cluster; None where it can't be asked."""
    try:
        return settings().get("ClusterName")
    except ClusterError:
        return None


def wait(job: str) -> State:
    """Wait for the end of a job, however often it is queued again; how it ended."""
    unknown = 0
    while True:
        state = states([job]).get(job)
        unknown = unknown + 1 if state is None else 0
        if state is not None and not state.active:
            return state
        if unknown * _ASK_EVERY > 120:
            raise ClusterError(f"Slurm no longer knows job {job}; jobs.status says how far the run is")
        time.sleep(_ASK_EVERY)


def _queue(form: str) -> list[list[str]]:
    """What the queue has of this user's, a line for each job or element: the cells of a form, with | between them."""
    lines = _run("squeue", "-h", "-r", "-u", getpass.getuser(), "-o", form).splitlines()
    return [line.split("|", form.count("|")) for line in lines]


def _from_scontrol(job: str) -> Iterable[str]:
    try:
        output = _run("scontrol", "show", "job", "-o", job)
    except ClusterError:
        return
    for line in output.splitlines():
        fields = dict(field.split("=", 1) for field in line.split() if "=" in field)
        element = f"{fields['ArrayJobId']}_{fields['ArrayTaskId']}" if "ArrayJobId" in fields else fields["JobId"]
        yield f"{element}|{fields['JobState']}|{fields['ExitCode']}"


def _exit_code(code: str) -> int:
    status, _, number = code.partition(":")
    return 128 + int(number) if number not in ("", "0") else int(status)


def _for_sbatch() -> dict[str, str]:
    """The environment of sbatch, with the user's own SBATCH_ variables.

    Without what would make another job of ours: an array of what is none, or an sbatch that tells the job's id at its
    end only.
    """
    environment = dict(os.environ)
    for name, key in (("SBATCH_ARRAY_INX", "cluster.count"), ("SBATCH_WAIT", "submit.wait")):
        if environment.pop(name, None) is not None:
            log.warning("%s: has no effect here; %s says so", name, key)
    return environment


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    # sbatch hands its whole environment on, also what belongs to the job that submits, if a job does
    of_a_job = ("SLURM_JOB", "SBATCH_CPU_BIND", "SBATCH_MEM_BIND") if "SLURM_JOB_ID" in os.environ else ()
    given = os.environ if environment is None else environment
    environment = {key: value for key, value in given.items() if not key.startswith(of_a_job)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ClusterError(
            f"{command[0]}: no such command; is this a machine that Slurm jobs are submitted from?"
        ) from None
    if done.returncode:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
