"""What cluster.setup and cluster.launcher make of a command, in a real bash; tests/slurm has it on a real Slurm."""

import signal
import subprocess
from pathlib import Path

import pytest

from lib.cluster.clusters import SlurmConfig
from lib.cluster.site import site_script
from lib.errors import ConfigError


def start(folder: Path, config: SlurmConfig, *command: str) -> "subprocess.Popen[str]":
    """Start a command as a site wants it."""
    script = site_script(config)
    assert script is not None
    (folder / "site.sh").write_text(script)
    environment = {"PATH": "/usr/bin:/bin", "SLURMD_NODENAME": "node7"}
    pipe = subprocess.PIPE
    words = ["bash", "-u", str(folder / "site.sh"), *command]
    return subprocess.Popen(words, env=environment, stdout=pipe, stderr=pipe, text=True)


def run(folder: Path, config: SlurmConfig, *command: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that is run so."""
    started = start(folder, config, *command)
    output, errors = started.communicate(timeout=60)
    return started.returncode, output, errors


def test_every_word_comes_whole_behind_setup_and_launcher(tmp_path: Path) -> None:
    """A file that is sourced sees no words, and may set its own; a function's failing parts are no failure."""
    (tmp_path / "modules.sh").write_text('echo "[$*]"; set -- other; module() { false; export LOADED="$2"; }\n')
    setup = [f"source {tmp_path}/modules.sh", "module load 'a b'", "false || true"]
    config = SlurmConfig(setup=setup, launcher=["env", "IMAGE=$HOME x.sif"])
    command = ["bash", "-c", 'printf "%s|" "$LOADED" "$IMAGE" "$@"; exit 75', "bash", "a b", "$c", "'"]
    assert run(tmp_path, config, *command) == (75, "[]\na b|$HOME x.sif|a b|$c|'|", "")


@pytest.mark.parametrize("line", ["module load none", "false", "true | false", "(exit 3)", "no_such_command 2>&1"])
def test_a_line_that_fails_ends_it_and_is_named(line: str, tmp_path: Path) -> None:
    """Whatever its exit code, ours is that of a failure: 75 would queue the job again."""
    config = SlurmConfig(setup=["module() { return 75; }", line, "echo never"])
    code, output, errors = run(tmp_path, config, "echo", "never")
    assert (code, "never" in output) == (1, False)
    assert f"on node7 of this line: {line}\n" in errors


def test_a_launcher_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, output, errors = run(tmp_path, SlurmConfig(launcher=["apptainer", "exec", "x.sif"]), "echo", "never")
    assert (code, output) == (1, "")
    assert errors.startswith("cluster.launcher: apptainer: no such command on node7")


def test_a_signal_reaches_the_command_itself(tmp_path: Path) -> None:
    command = ["bash", "-c", "trap 'exit 75' USR1; echo ready; while :; do sleep 0.05; done"]
    started = start(tmp_path, SlurmConfig(setup=["export A=b"], launcher=["env", "B=c"]), *command)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    started.send_signal(signal.SIGUSR1)
    started.communicate(timeout=60)
    assert started.returncode == 75


@pytest.mark.parametrize("line", ["if true; then", 'echo "a', "done"])
def test_a_line_that_bash_cannot_read_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.setup: bash can't read"):
        site_script(SlurmConfig(setup=["true", line]))


def test_nothing_said_is_nothing_done() -> None:
    assert site_script(SlurmConfig()) is None
