"""Every command in README.md works: make's targets are there, and each job is run on small real files."""

import csv
import importlib.util
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Job
from tests.test_configs import make

PYTHON = ".venv/bin/python -m jobs."
BEFORE, _, REST = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## On a cluster\n")
CLUSTER, _, AFTER = REST.partition("\n## ")  # its commands are run by tests/slurm/test_chapter.py
README = BEFORE + AFTER
BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
IN_TEXT = re.findall(r"`((?:make |\.venv/bin/)[^`]+)`", README.replace("\n", " "))
COMMANDS = list(dict.fromkeys([line for block in BLOCKS for line in block.splitlines() if line.strip()] + IN_TEXT))
MAKE = [command for command in COMMANDS if command.startswith("make ")]
JOBS = [command for command in COMMANDS if command.startswith(PYTHON)]
OVERRIDES = [
    override
    for line in README.partition("\n| override |")[2].partition("\n\n")[0].splitlines()
    for override in re.findall(r"`([^`]+)`", line.split("|")[1] if line.startswith("| `") else "")
]

# What the README says -> what is run here. The test fails for an argument that is not in this table.
ARGUMENTS = {
    "data=arena": "data=arena",
    "data.path=train.csv": "data.path={files}/train.csv",
    "data.path=test.csv": "data.path={files}/test.csv",
    "merge.sample=sample_submission.csv": "merge.sample={files}/sample_submission.csv",
    "engine=smollm2_135m": "engine=dummy",  # a model takes too long here; the engines have tests of their own
    "run.dir=DIR": "run.dir={files}/run",
    "submission=submission.csv": "submission={files}/submission.csv",
    "labels=train.csv": "labels={files}/train.csv",
    "merge.submissions=[a.csv,b.csv]": "merge.submissions=[{files}/a.csv,{files}/b.csv]",
    "merge.weights=[0.6,0.4]": "merge.weights=[0.6,0.4]",
    "merge.out=blend.csv": "merge.out={files}/blend.csv",
    "--cfg": "--cfg",
    "job": "job",
}
WINNERS = ["winner_model_a", "winner_model_b", "winner_tie"]


def copy_csv(source: Path, target: Path, columns: list[str]) -> None:
    with source.open(encoding="utf-8", newline="") as rows, target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(csv.DictReader(rows))


@pytest.fixture(scope="module")
def files(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README's commands name, and a finished run."""
    folder = tmp_path_factory.mktemp("files")
    train = folder / "train.csv"
    shutil.copy(ROOT / "conf" / "samples" / "battles.csv", train)
    copy_csv(train, folder / "test.csv", ["id", "prompt", "response_a", "response_b"])
    copy_csv(train, folder / "sample_submission.csv", ["id", *WINNERS])
    job("judge", "data=arena", f"data.path={train}", "engine=dummy", "executor=inline", f"run.dir={folder / 'run'}")
    for name in ("submission.csv", "a.csv", "b.csv"):
        shutil.copy(folder / "run" / "submission.csv", folder / name)
    return folder


def test_every_command_is_one_that_is_tested() -> None:
    assert len(MAKE) >= 4
    assert len(JOBS) >= 7
    assert len(OVERRIDES) >= 10
    assert CLUSTER
    assert set(COMMANDS) == {*MAKE, *JOBS}


@pytest.mark.parametrize("command", MAKE)
def test_make_has_the_target_and_what_it_runs(command: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for module in re.findall(r"/python -m ([\w.]+)", done.stdout):
        assert importlib.util.find_spec(module) is not None, module


@pytest.mark.parametrize("command", JOBS, ids=lambda command: command.removeprefix(PYTHON))
def test_job_runs(command: str, files: Path, job: Job, tmp_path: Path) -> None:
    name, *arguments = shlex.split(command.removeprefix(PYTHON))
    unknown = [argument for argument in arguments if argument not in ARGUMENTS]
    assert not unknown, f"new in the README: say in ARGUMENTS what {unknown} stands for"
    line = [ARGUMENTS[argument].format(files=files) for argument in arguments]
    if name in ("judge", "plan"):
        line += ["executor=inline", f"run.dir={tmp_path / 'run'}"]
    done = job(name, *line)
    assert done.stdout


@pytest.mark.parametrize("override", OVERRIDES)
def test_override_is_one_that_jobs_judge_takes(override: str) -> None:
    plain, changed = make("judge"), make("judge", *shlex.split(override))
    assert changed != plain


def test_the_run_folder_holds_what_the_table_says(files: Path) -> None:
    _, _, section = README.partition("\n## The run folder\n")
    cells = [line.split("|")[1] for line in section.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    named = {name.rstrip("/") for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert named == {path.name for path in (files / "run").iterdir()}


def test_the_engines_that_are_named_are_there() -> None:
    table = README.partition("\n| for | engine= |\n")[2].partition("\n\n")[0]
    named = []
    for line in table.splitlines()[1:]:
        first, *others = re.findall(r"`([^`]+)`", line)
        named += [first, *(first + name if name.startswith("_") else name for name in others)]
    assert len(named) >= 15
    assert not set(named) - {path.stem for path in (ROOT / "conf" / "engine").glob("*.yaml")}
