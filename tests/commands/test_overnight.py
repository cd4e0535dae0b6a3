"""The command `overnight`: in a shell that completes, and from a wheel, in a folder that has a `lib` of its own."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.programs import program

COMMAND = Path(sys.executable).with_name("overnight")


def _run(command: list[str], cwd: Path, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **environment}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that a wheel of this tree is unpacked into, as it is in site-packages."""
    place = tmp_path_factory.mktemp("wheel")
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    source = place / "source"
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "jobs", "lib", "conf", "slurm", "pyproject.toml",
         "setup.py", "README.md", "LICENSE"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    for name in files:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    _run([sys.executable, "-c", build, str(place)], source)
    with zipfile.ZipFile(next(place.glob("*.whl"))) as wheel:
        wheel.extractall(place / "site")
    return place / "site"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of a user's, whose `lib` and `jobs` are not ours."""
    for name in ("lib", "jobs", "conf"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('not ours')\n")
    return tmp_path


def test_a_wheel_takes_one_name_and_runs_anywhere(installed: Path, elsewhere: Path) -> None:
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == {"overnight"}
    overnight = [sys.executable, "-P", "-m", "overnight"]
    there = {"PYTHONPATH": str(installed)}
    _run([*overnight, "judge", "engine=dummy", "executor=inline", "data.limit=4", "run.dir=run"], elsewhere, **there)
    assert f"path: {installed}/overnight/conf/samples/battles.csv" in (elsewhere / "run" / "config.yaml").read_text()
    line = ["submit", "cluster=slurm", "engine=dummy", "run.dir=queued", "--dry-run"]
    assert "/slurm/ray.sbatch judge engine=dummy" in _run([*overnight, *line], elsewhere, **there).stdout


def test_children_of_the_command_import_the_same_code(installed: Path, elsewhere: Path) -> None:
    ask = "import subprocess, sys; from overnight.__main__ import main; sys.argv = ['overnight', '--help']; main()"
    child = "; subprocess.run([sys.executable, '-m', 'jobs', '--help'], check=True)"
    done = _run([sys.executable, "-P", "-c", ask + child], elsewhere, PYTHONPATH=str(installed))
    assert done.stdout.count("Judge battles") == 2


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("overnight ju", ["judge "]),
        ("overnight generate data=", ["openai_batch ", "table ", "tutorial "]),
        ("overnight judge engine=smollm2_135m_v", ["smollm2_135m_vllm "]),
        ("overnight judge judge.mode=", ["labels ", "text ", "classes "]),
        ("overnight judge engine=dummy engine.fa", ["engine.fail_on="]),
        ("overnight plan plan.job=grade grade.mo", ["grade.mode="]),
        ("overnight submit cluster=slurm_array cluster.at", ["cluster.at_once="]),
        ("overnight judge data.path=q\\ (", ["q\\ \\(1\\).csv "]),
        ("overnight judge data.path=night/", ["night/質問.csv "]),
        ("overnight judge --mul", ["--multirun "]),
        ("overnight nothing x", []),
    ],
)
def test_bash_completes(typed: str, found: list[str], tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    for name in ("q (1).csv", "night/質問.csv"):
        (tmp_path / name).touch()
    shell = (
        f'eval "$({COMMAND} --completion bash)"; PATH={COMMAND.parent}:$PATH; COMP_LINE=$TYPED COMP_POINT=${{#TYPED}}; '
        'COMP_WORDS=(overnight); _overnight; printf "%s\\n" "${COMPREPLY[@]}"; complete -p overnight'
    )
    cache = str(tmp_path / "cache")
    locale = {"LC_ALL": "C.UTF-8", "XDG_CACHE_HOME": cache, "TYPED": typed}
    *words, told = _run(["bash", "-euc", shell], tmp_path, **locale).stdout.splitlines()
    assert told == "complete -o nospace -F _overnight overnight"
    assert [word for word in words if word] == found


_KEYS = r"""zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PATH=$1:\$PATH; autoload -Uz compinit; compinit -u -d $PWD/dump; eval \"\$(overnight --completion zsh)\""
zpty -w shell 'show() { zle complete-word; print -r -- "[$BUFFER]" > shown; }; zle -N show; bindkey "^X" show'
zpty -w shell ': > ready'
until [[ -e ready ]]; do sleep 0.1; done
zpty -w -n shell "$TYPED"$'\x18'
until [[ -s shown ]]; do sleep 0.1; done
"""


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("overnight jud", "overnight judge "),
        ("overnight judge data=sam", "overnight judge data=sample "),
        ("overnight judge engine=dummy engine.fail_o", "overnight judge engine=dummy engine.fail_on="),
        ("overnight judge data.path=q\\ (", "overnight judge data.path=q\\ \\(1\\).csv "),
        ("overnight judge data.path=night/", "overnight judge data.path=night/質問.csv "),
        ("overnight nothing x", "overnight nothing x"),
    ],
)
def test_zsh_completes(typed: str, line: str, tmp_path: Path) -> None:
    zsh = program("zsh")
    (tmp_path / "night").mkdir()
    for name in ("q (1).csv", "night/質問.csv"):
        (tmp_path / name).touch()
    cache = str(tmp_path / "cache")
    terminal = {"LC_ALL": "C.UTF-8", "TERM": "dumb", "XDG_CACHE_HOME": cache, "TYPED": typed}
    _run([zsh, "-fc", _KEYS, "zsh", str(COMMAND.parent)], tmp_path, **terminal)
    assert (tmp_path / "shown").read_text() == f"[{line}]\n"
