"""Programs of Debian's that tests drive: those that are not here are installed where that is allowed."""

import os
import shutil
import subprocess

import pytest

_APT = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq"]


def program(name: str) -> str:
    """The path of a program that its package is called after. Skips the test where it is not to be had."""
    if shutil.which(name) is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            pytest.skip(f"needs {name} in PATH, or root and Debian's packages to install it: apt-get install {name}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for line in ([*_APT, "update"], [*_APT, "install", "-y", "--no-install-recommends", name]):
            done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=250)
            if done.returncode:
                pytest.skip(
                    f"needs {name}, which can't be installed here: {(done.stdout + done.stderr).strip()[-300:]}"
                )
    found = shutil.which(name)
    assert found is not None
    return found
