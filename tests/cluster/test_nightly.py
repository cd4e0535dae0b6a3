"""slurm/nightly.sh with a Python that only writes down what it is asked; tests/slurm has it on a real Slurm."""

import os
import subprocess
from pathlib import Path

from tests.running import ROOT


def start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    python = folder / "python"
    python.write_text(f'#!/bin/bash\nprintf "%s|" "$@" >> {folder}/asked; echo >> {folder}/asked\n')
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python), "RUNS": str(folder / "runs"), "NIGHT": "2026-01-02"}
    line = ["bash", str(ROOT / "slurm" / "nightly.sh"), *words]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_a_night_is_submitted_once_with_its_line(tmp_path: Path) -> None:
    words = ["job=judge", "data.path=my file.csv", "notify=mail"]
    assert start(tmp_path, *words).returncode == 0
    submitted, told = (tmp_path / "asked").read_text().splitlines()
    night = tmp_path / "runs" / "2026-01-02"
    assert submitted == f"-m|jobs.submit|job=judge|data.path=my file.csv|run.dir={night}|--wait|"
    assert told == f"-m|jobs.status|run.dir={night}|summary=true|exit_code=0|notify=mail|"
    assert (night.parent / "2026-01-02.line").stat().st_mode & 0o777 == 0o600
    assert "is done already" in start(tmp_path, *words).stdout
    assert len((tmp_path / "asked").read_text().splitlines()) == 2


def test_a_line_that_cannot_be_kept_submits_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs" / "2026-01-02.new").mkdir(parents=True)  # as a full disk does, it refuses the file
    assert start(tmp_path, "job=generate").returncode == 2
    assert not (tmp_path / "asked").exists()
