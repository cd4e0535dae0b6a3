"""What a site wants around each Python command of a run: lines of setup, and a launcher's words."""

import shlex
import subprocess

from lib.cluster.clusters import SlurmConfig
from lib.errors import ConfigError


def site_script(config: SlurmConfig) -> str | None:
    """A script that runs the words it is given, `bash site.sh COMMAND…`, as `cluster.setup` and `launcher` say.

    None where these say nothing. Raises ConfigError for a line that bash can't read.
    """
    if not (config.setup or config.launcher):
        return None
    for line in config.setup:
        _require_bash(line)
    failed = 'echo "cluster.setup: exit code $? on $overnight_node of this line: $overnight_line" >&2; exit 1'
    lines = [
        "#!/bin/bash",
        "# bash site.sh COMMAND…: runs it as cluster.setup and cluster.launcher say.",
        'overnight_command=("$@") overnight_node=${SLURMD_NODENAME:-$(uname -n)}',
        "set --  # else a file that a line sources would take the command's words for its own",
        f"trap {shlex.quote(failed)} ERR",
    ]
    for line in config.setup:
        lines += [f"overnight_line={shlex.quote(line)}", line]
    lines.append("trap - ERR")
    if config.launcher:
        program = shlex.quote(config.launcher[0])
        missing = "no such command on $overnight_node; a line of cluster.setup may have to load it"
        lines.append(
            f'type -P {program} > /dev/null || {{ echo cluster.launcher: {program}: "{missing}" >&2; exit 1; }}'
        )
    lines.append(" ".join(["exec", *map(shlex.quote, config.launcher), '"${overnight_command[@]}"']))
    return "\n".join(lines) + "\n"


def _require_bash(line: str) -> None:
    done = subprocess.run(["bash", "-nc", line], capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        why = (done.stderr.strip() or "it says no more").splitlines()[0]
        raise ConfigError(f"cluster.setup: bash can't read {line!r} ({why}); each line must be whole by itself")
