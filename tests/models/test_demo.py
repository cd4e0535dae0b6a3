"""`make demo` shows something true: the packaged embedder finds the right article far more often than a guess."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs.test_configs import make as compose
from tests.running import ROOT

VENV = f"VENV={Path(sys.executable).parents[1]}"


def _make(*words: str) -> str:
    return subprocess.run(["make", *words, VENV], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_embedder_finds_the_right_article_first(tmp_path: Path) -> None:
    _make("demo-search", f"DEMO={tmp_path}/demo")
    metrics = json.loads((tmp_path / "demo" / "found" / "metrics.json").read_text())
    assert metrics["queries"] == 32
    assert metrics["recall@1"] > 0.6  # a guess: 1/30


@pytest.mark.parametrize("job", ["search", "judge", "rag", "generate"])
def test_the_lines_of_every_demo_compose(job: str, tmp_path: Path) -> None:
    lines = _make("--dry-run", f"demo-{job}", f"JOB={job}", f"DEMO={tmp_path}/demo").splitlines()
    commands = [shlex.split(line)[1:] for line in lines if "/overnight " in line.partition("=")[0]]
    assert commands
    for name, *overrides in commands:
        assert compose(name, *overrides) is not None
