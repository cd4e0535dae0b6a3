"""slurm/drive.sh: a signal reaches the driver whenever it comes."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

DRIVER = """#!/bin/sh
trap 'exit 75' USR1 TERM
i=0; while [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
"""
SIGNAL = """set -uT
source slurm/drive.sh
trap '[ "$BASH_COMMAND" != "{at}" ] || {{ trap - DEBUG; kill -s {name} $$; }}' DEBUG
drive judge
exit $?
"""


@pytest.mark.parametrize("name", ["USR1", "TERM"])
@pytest.mark.parametrize("at", ['[ -z "$stop" ]', "driver=$!", 'wait "$driver"'])
def test_a_signal_is_not_lost_while_the_driver_begins(at: str, name: str, tmp_path: Path) -> None:
    driver = tmp_path / "driver"
    driver.write_text(DRIVER)
    driver.chmod(0o755)
    script = SIGNAL.format(at=at.replace('"', '\\"').replace("$", "\\$"), name=name)
    environment = {"PATH": os.environ["PATH"], "OVERNIGHT_CODE": str(ROOT), "PYTHON": str(driver)}
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, check=False, timeout=60)
    # The driver may have been hit before it could hear: USR1 is 75 then too, and TERM the signal's own.
    assert done.returncode in (75, 143 if name == "TERM" else 75)
