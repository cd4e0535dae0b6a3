"""Rendering a script for sbatch: its resources, and which of slurm/*.sbatch runs what."""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from lib.cluster.clusters import ClusterConfig, SlurmArrayConfig, SlurmConfig, require_printable
from lib.cluster.dispatch import Desk
from lib.errors import ConfigError

SITE = "site.sh"  # in a submission's folder: what the site wants around each command


@dataclass(frozen=True)
class Script:
    """A script for sbatch. options: those of its #SBATCH lines."""

    options: Sequence[str]
    text: str


def render(
    config: SlurmConfig,
    desk: Desk,
    script: str,
    words: Sequence[str],
    *,
    array: str | None = None,
    offset: int = 0,
    first: bool = True,
    last: bool = True,
) -> Script:
    """The script that runs `slurm/<script> <words>` of the copied code.

    array: as sbatch's option; offset: number of the run's element that is number 0 of this array. first: whether the
    job waits for nothing but what the whole run may have to wait for; last: whether the run ends with it.

    Raises ConfigError for a run folder that sbatch can't write into.
    """
    require_printable(str(desk.run), "run.dir")
    if "\\" in str(desk.run):
        raise ConfigError(f"run.dir={desk.run}: a backslash means something else to sbatch; choose another name")
    options = {
        "job-name": desk.run.name,
        "output": str(desk.folder).replace("%", "%%") + ("/%A_%a.out" if array else "/%j.out"),
        "open-mode": "append",  # also when it is queued again
        "array": array,
        "nodes": config.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": config.cpus_per_task,
        "time": config.time,
        "signal": f"B:USR1@{config.signal_seconds}",
        "mem": config.mem,
        "gres": config.gres,
        "partition": config.partition,
        "account": config.account,
        "qos": config.qos,
        "constraint": config.constraint,
        "dependency": _dependency(config) if first else None,
        "kill-on-invalid-dep": "yes" if first and config.depends else None,  # else it would wait for ever
        "mail-user": config.mail if last else None,
        "mail-type": ",".join(config.mail_type) if last and config.mail else None,
    }
    variables = {
        "OVERNIGHT_CODE": str(desk.code),
        "PYTHON": python_of(config),
        "MAX_REQUEUES": str(config.max_requeues),
    }
    if isinstance(config, SlurmArrayConfig):
        variables |= {"COUNT": str(config.count), "OFFSET": str(offset)}
    if config.setup or config.launcher:
        variables["OVERNIGHT_SITE"] = str(desk.folder / SITE)
    if config.srun:
        variables["OVERNIGHT_SRUN"] = "\n".join(config.srun)
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    given += ["--requeue", *config.options]
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {_quoted(option)}" for option in given),
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        f"exec bash {shlex.join([f'{desk.code}/slurm/{script}', *words])}",
    ]
    return Script(given, "\n".join(lines) + "\n")


def _dependency(config: SlurmConfig) -> str | None:
    if config.depends is None or config.depends.startswith("after"):
        return config.depends
    return f"afterok:{config.depends}"


def _quoted(option: str) -> str:
    """An option as one word of an #SBATCH line, where # begins a comment, and a backslash keeps what follows it."""
    if re.fullmatch(r"[\w%+,./:=@^~*&|!()\[\]-]+", option):
        return option
    return '"' + re.sub(r'(["\\])', r"\\\1", option) + '"'


def python_of(config: ClusterConfig) -> str:
    """The interpreter on the cluster."""
    return config.python or sys.executable
