"""A start does not wait for what it does not use: which heavy packages a job imports, and when."""

import importlib.util
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from lib.imports import without
from tests.conftest import ROOT

HEAVY = {"pandas", "sklearn", "scipy", "matplotlib", "torch", "transformers", "ray", "vllm"}
JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("[!_]*.py"))
DUMMY = ("-m", "jobs.judge", "data=arena", "engine=dummy", "executor=inline")


def imported(*arguments: str) -> set[str]:
    """Which of HEAVY a Python process has imported by its end."""
    line = [sys.executable, "-v", *arguments]
    done = subprocess.run(line, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    found = set(re.findall(r"^import '(\w+)'", done.stderr, re.MULTILINE))
    assert "pyarrow" in found  # else Python no longer says so, and this test sees nothing
    return HEAVY & found


def test_importing_all_jobs_imports_nothing_heavy() -> None:
    assert len(JOBS) > 10
    assert imported("-c", "; ".join(f"import jobs.{name}" for name in JOBS)) == set()


def test_the_list_of_jobs_imports_none_and_a_job_only_what_a_refusal_needs() -> None:
    ask = "import sys; {}; print(*{{name.split('.')[0] for name in sys.modules}})"
    for line, none_of in (
        ("import jobs.__main__; jobs.__main__.listing()", HEAVY | {"hydra", "omegaconf", "pyarrow", "numpy", "conf"}),
        ("import lib.usage.completing", HEAVY | {"hydra", "omegaconf", "pyarrow", "numpy", "conf"}),
        ("import jobs.judge", HEAVY | {"PIL", "httpx", "fsspec", "tqdm", "asyncio"}),
    ):
        done = subprocess.run([sys.executable, "-c", ask.format(line)], cwd=ROOT, capture_output=True, check=True)
        assert set(done.stdout.decode().split()) & none_of == set(), line


def test_a_run_imports_what_it_uses(tmp_path: Path) -> None:
    path = tmp_path / "battles.csv"
    path.write_text("id,prompt,response_a,response_b\n" + "".join(f"{n},q {n},a,b\n" for n in range(8)))
    without_labels = [f"data.path={path}", "data.turns=text", f"run.dir={tmp_path / 'run'}"]
    assert imported(*DUMMY, *without_labels) == {"scipy"}  # the quantiles of t, for the interval of position bias
    path.write_text("id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n1,q,a,b,1,0,0\n")
    with_a_score = [f"data.path={path}", "data.turns=text", f"run.dir={tmp_path / 'scored'}"]
    assert imported(*DUMMY, *with_a_score) == {"matplotlib", "scipy"}  # its report has a picture, and intervals


def test_without_hides_one_package_and_only_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    name = "only_here"
    finders = list(sys.meta_path)
    with without(name):
        assert importlib.util.find_spec(name) is None
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)
        assert importlib.util.find_spec("torch") is not None
        assert version("torch")
        sys.meta_path.append(late := type("Late", (), {"find_spec": staticmethod(lambda *_: None)}))
    assert sys.meta_path == [*finders, late]
    sys.meta_path.remove(late)
    assert importlib.util.find_spec(name) is not None
