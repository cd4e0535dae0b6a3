"""README's chapter "On a cluster", followed to the letter; and nightly runs."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.commands.test_readme import CLUSTER
from tests.conftest import ROOT
from tests.slurm.conftest import Slurm, pace, shards, until

BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", CLUSTER, re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of the project with the file that the README names."""
    folder = tmp_path / "checkout"
    for part in ("jobs", "lib", "conf", "slurm"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".venv").symlink_to(ROOT / ".venv")
    shutil.copy(ROOT / "conf" / "samples" / "battles.csv", folder / "train.csv")
    return folder


def idle(slurm: Slurm) -> bool:
    return not slurm.run("squeue", "-h").stdout


def test_the_chapter(slurm: Slurm, checkout: Path) -> None:
    with_ray, array, missing, scripts, server, site, nightly = BLOCKS
    for block in (array, scripts, with_ray, nightly):  # the last two wait for what they submit
        slurm.run("bash", "-euc", block, cwd=checkout)
    assert "pipeline_parallel_size=2" in slurm.run("bash", "-euc", server, cwd=checkout).stdout
    loaded = checkout / "loaded"
    site = f'module() {{ [ "$1" = load ] && echo "$2" >> {loaded}; }}; export -f module\n{site}'
    assert "(1 PENDING)" in slurm.run("bash", "-euc", site, cwd=checkout).stdout
    until(lambda: idle(slurm), "all jobs have ended")
    assert set(loaded.read_text().split()) == {"cuda/12.4"}  # of the run that was not cancelled
    assert not list((checkout / "runs" / "six" / "shards").rglob("*.parquet"))
    two = checkout / "runs" / "two"
    (two / "shards" / "0000" / "shard-00000001.parquet").unlink()
    (two / "submission.csv").unlink()
    said = slurm.run("bash", "-euc", missing, cwd=checkout).stdout
    assert "of elements 1 of 3" in said
    assert "of 20 rows are there, " in said
    until(lambda: (two / "submission.csv").exists(), "what was missing is there")
    until(lambda: idle(slurm), "all jobs have ended")
    nights = [path for path in (checkout / "runs" / "nightly").iterdir() if path.is_dir()]
    assert len(nights) == 1
    runs = [*(checkout / "runs" / name for name in ("one", "two", "three", "four", "five")), *nights]
    assert len({(run / "submission.csv").read_bytes() for run in runs}) == 1


def test_nights(slurm: Slurm, checkout: Path, line: list[str]) -> None:
    """Last night's unfinished run goes first; tonight's follows; a second start does nothing; somebody is told."""
    hook, told, runs = checkout / "hook.sh", checkout / "told.txt", checkout / "runs" / "nightly"
    hook.write_text(f'#!/bin/sh\necho "$1" >> {told}\n')
    hook.chmod(0o755)
    words = ["cluster=slurm_array", "cluster.count=1", "cluster.time=10", "job=judge", *line]
    words += [f'notify.command=[{hook},"{{summary}}"]']

    def nightly(night: str, *more: str, code: int) -> str:
        return slurm.run("slurm/nightly.sh", *words, *more, cwd=checkout, code=code, NIGHT=night).stdout

    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(nightly, "2026-01-01", pace(1), code=75)
        until(lambda: shards(runs / "2026-01-01"), "last night's run works")
        assert "still at work" in nightly("2026-01-01", code=0)
        slurm.run("scancel", "--user=root")
        last.result()
    assert "unfinished" in told.read_text()
    assert "exit code 75" in told.read_text()

    said = nightly("2026-01-02", code=0)
    assert "2026-01-01 is unfinished, and goes first" in said
    lines = told.read_text().splitlines()
    assert [text.partition(" complete: ")[0] for text in lines[1:]] == ["2026-01-01: judge", "2026-01-02: judge"]
    assert "200 of 200 rows, 0 failed" in lines[1]
    assert lines[1].endswith("exit code 0")
    assert (runs / "2026-01-01" / "submission.csv").read_bytes() == (
        runs / "2026-01-02" / "submission.csv"
    ).read_bytes()
    assert "done already" in nightly("2026-01-02", code=0)
    assert len(told.read_text().splitlines()) == 3
    assert len(list(runs.glob("2026-01-02/submit/*/submission.json"))) == 1
