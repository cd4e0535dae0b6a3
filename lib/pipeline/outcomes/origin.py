"""Where a run's results come from: the line that was typed, and the version of the code."""

import json
import re
import shlex
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from lib import ROOT
from lib.data.atomic import write_text
from lib.data.run_folder import ORIGIN
from lib.urls import without_secrets

_OF_ONE = re.compile(r"\+{0,2}array\.")  # of an element of a job array


def write_origin(folder: Path, job: str) -> None:
    """Write down the line that works on a run, without secrets, and the code's version."""
    content = {"version": _version(), "command": _command(job)}
    write_text(folder / ORIGIN, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _command(job: str) -> str:
    given = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
    words = shlex.join(word for word in given if not _OF_ONE.match(word))
    return without_secrets(f"python -m jobs.{job} {words}".rstrip())


def _version() -> str:
    """The package's version and, of a checkout, its commit."""
    try:
        package = version("overnight")
    except PackageNotFoundError:
        package = "unpackaged"
    if not (ROOT / ".git").exists():
        return package
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):  # without git, or a checkout of another user
        return package
    return f"{package}+{found}"
