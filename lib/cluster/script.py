"""Rendering a script for sbatch: its resources, and which of slurm/*.sbatch runs what."""

import shlex
import sys
from collections.abc import Sequence

from lib.cluster.clusters import ClusterConfig, SlurmArrayConfig, SlurmConfig
from lib.cluster.dispatch import Desk


def render(config: SlurmConfig, desk: Desk, script: str, words: Sequence[str], array: str | None = None) -> str:
    """The script that runs `slurm/<script> <words>` of the copied code. array: as sbatch's option."""
    options = {
        "job-name": desk.run.name,
        "output": str(desk.folder / ("%A_%a.out" if array else "%j.out")),
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
    }
    variables = {
        "OVERNIGHT_CODE": str(desk.code),
        "PYTHON": python_of(config),
        "MAX_REQUEUES": str(config.max_requeues),
    }
    if isinstance(config, SlurmArrayConfig):
        variables["COUNT"] = str(config.count)
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {option}" for option in [*given, "--requeue", *config.options]),
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        f"exec bash {shlex.join([f'{desk.code}/slurm/{script}', *words])}",
    ]
    return "\n".join(lines) + "\n"


def python_of(config: ClusterConfig) -> str:
    """The interpreter on the cluster."""
    return config.python or sys.executable
