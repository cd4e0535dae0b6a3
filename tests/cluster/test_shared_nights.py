"""slurm/nightly.sh, whose nights share a store: what it submits works right here, and the first is pre-empted."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.running import ROOT

Make = Callable[..., Path]
Start = Callable[..., dict[str, Any]]

PYTHON = """#!/bin/bash
[ "$2" = jobs.submit ] || exit 0
for word in "${@:3}"; do
  case $word in run.dir=*) run=${word#*=} ;; job=* | cluster=* | --wait) ;; *) words+=("$word") ;; esac
done
judge=(PYTHON -m jobs.judge "${words[@]}" "run.dir=$run" executor=inline)
[ -e FOLDER/preempted ] && exec "${judge[@]}"
touch FOLDER/preempted
"${judge[@]}" run.shard_rows=1 engine.seconds_per_request=0.5 &
until compgen -G "$run/shards/*/*.parquet" || ! kill -0 $!; do sleep 0.05; done
kill -TERM $!
wait $!
"""


@pytest.fixture
def night(tmp_path: Path) -> Start:
    """Start a night about files/: what it says, and what metrics.json says of it."""
    (tmp_path / "files").mkdir()
    python, runs = tmp_path / "python", tmp_path / "nightly"
    python.write_text(PYTHON.replace("FOLDER", str(tmp_path)).replace("PYTHON", sys.executable))
    python.chmod(0o755)
    words = ["cluster=slurm", "job=judge", "data=arena", f"data.path={tmp_path}/files", "engine=dummy"]
    places = {"PYTHON": str(python), "RUNS": str(runs), "OVERNIGHT_STORE": f"{tmp_path}/store"}

    def start(name: str, code: int = 0) -> dict[str, Any]:
        done = subprocess.run(
            ["bash", str(ROOT / "slurm" / "nightly.sh"), *words],
            env={**os.environ, **places, "NIGHT": name},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == code, done.stderr
        metrics = runs / name / "metrics.json"
        return {"said": done.stdout + done.stderr, **(json.loads(metrics.read_text()) if metrics.exists() else {})}

    return start


def three_more(battles: Make) -> None:
    path = battles(3, dict.fromkeys(range(3), "Another question?"), name="files/b.csv")
    path.write_text(path.read_text().replace("\n100", "\n200"))  # other ids


def test_nights_share_the_store(tmp_path: Path, battles: Make, night: Start) -> None:
    battles(6, name="files/a.csv")
    assert "computed" not in night("2026-01-01", 143)
    found = night("2026-01-02")
    assert "2026-01-01 is unfinished, and goes first" in found["said"]
    assert (found["computed"], found["remembered"]) == (0, 6)
    nights = [tmp_path / "nightly" / name for name in ("2026-01-01", "2026-01-02")]
    assert (nights[0] / "submission.csv").read_bytes() == (nights[1] / "submission.csv").read_bytes()
    three_more(battles)
    found = night("2026-01-03")
    assert (found["computed"], found["remembered"]) == (3, 6)


def test_an_unfinished_night_of_which_the_input_has_grown(tmp_path: Path, battles: Make, night: Start) -> None:
    """It can't go on, and says so; what it has computed is remembered."""
    battles(6, name="files/a.csv")
    night("2026-01-01", 143)
    done = len(list(tmp_path.glob("nightly/2026-01-01/shards/*/*.parquet")))  # of one row each
    assert 0 < done < 6
    three_more(battles)
    found = night("2026-01-02")
    assert "2026-01-01 holds another plan" in found["said"]
    assert "are gone" not in found["said"]
    assert (found["computed"], found["remembered"]) == (9 - done, done)
