"""The code that runs is the code of this checkout, and the package holds all of it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import conf
import jobs
import lib

ROOT = Path(__file__).parents[2]


def test_packages_are_those_of_this_checkout() -> None:
    for package in (conf, jobs, lib):
        assert package.__file__ is not None
        assert Path(package.__file__).parents[1] == ROOT


def test_git_ignores_none_of_the_code() -> None:
    probes = ["lib/x.py", "lib/data/x.py", "conf/data/x.yaml", "jobs/x.py", "tests/data/x.py"]
    done = subprocess.run(["git", "check-ignore", *probes], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_required_packages_are_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = " ".join([*project["dependencies"], *extras["cpu"], *extras["gpu"]])
    for package in (
        "ray",
        "vllm",
        "transformers",
        "bitsandbytes",
        "sentence-transformers",
        "pandas",
        "pyarrow",
        "hydra",
    ):
        assert package in declared


def test_inline_run_imports_neither_ray_nor_vllm(tmp_path: Path) -> None:
    """`executor=inline` must work where Ray and vLLM are not installed."""
    program = (
        "import sys, runpy\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('ray', 'vllm'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        f"sys.argv = ['judge', 'data.limit=2', 'executor=inline', 'run.dir={tmp_path}/run']\n"
        "runpy.run_module('jobs.judge', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "submission.csv").exists()
