"""The second night: what was asked before is not computed again, and the result is that of a run from nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Job

Battles = Callable[..., Path]
LINE = ("data=arena", "engine=dummy", "executor=inline")
READY = "the worker is ready"


@pytest.fixture
def night(quick_job: Job, tmp_path: Path) -> Callable[..., tuple[dict[str, int], str]]:
    """A run in a folder of its own, on one store: its metrics, and what it said."""

    def run(name: str, path: Path, *more: str, job: str = "judge") -> tuple[dict[str, int], str]:
        line = [*LINE, f"data.path={path}", *more]
        said = quick_job(job, *line, f"run.dir={tmp_path}/{name}", f"store.dir={tmp_path}/store").stderr
        quick_job(job, *line, f"run.dir={tmp_path}/{name}-alone")
        own, alone = ((tmp_path / folder / "submission.csv").read_bytes() for folder in (name, f"{name}-alone"))
        assert own == alone
        return json.loads((tmp_path / name / "metrics.json").read_text()), said

    return run


def counts(metrics: dict[str, int]) -> tuple[int, int]:
    return metrics["computed"], metrics["remembered"]


def test_an_input_that_grows(night: Callable[..., tuple[dict[str, int], str]], battles: Battles) -> None:
    assert counts(night("first", battles(20))[0]) == (20, 0)
    metrics, said = night("second", battles(30))
    assert counts(metrics) == (10, 20)
    assert "20 of 30 rows are remembered from earlier runs; 10 to do" in said
    metrics, said = night("quiet", battles(30))
    assert counts(metrics) == (0, 30)
    assert READY not in said
    metrics, said = night("fewer", battles(25))
    assert counts(metrics) == (0, 25)
    assert "at least 5 rows that it asked about are gone or were changed, or had failed" in said


def test_another_rule_asks_no_engine(night: Callable[..., tuple[dict[str, int], str]], battles: Battles) -> None:
    night("first", battles(20))
    metrics, said = night("warmer", battles(20), "judge.temperature=2")
    assert counts(metrics) == (0, 20)
    assert READY not in said
    night("scores", battles(20), job="arena")
    metrics, said = night("threshold", battles(20), "arena.rule=threshold", job="arena")
    assert counts(metrics) == (0, 20)
    assert READY not in said


def test_bad_rows_alone_need_no_engine(
    night: Callable[..., tuple[dict[str, int], str]], battles: Battles, quick_job: Job, tmp_path: Path
) -> None:
    path = battles(20, {3: "UNREADABLE"})
    path.write_text(path.read_text().replace('"[""UNREADABLE""]"', "[oops"))
    more = ("data.on_bad_row=record", "run.max_error_rate=0.1", "merge.on_failed=uniform")
    assert counts(night("first", path, *more)[0]) == (19, 0)
    metrics, said = night("second", path, *more)
    assert counts(metrics) == (0, 19)
    assert "19 of 20 rows are remembered from earlier runs; 1 are bad; 0 to do" in said
    assert READY not in said
    assert metrics["failed"] == 1
    line = [*LINE, f"data.path={path}", *more, f"run.dir={tmp_path}/plan", f"store.dir={tmp_path}/store"]
    assert "nothing is left to do: no engine is asked" in quick_job("plan", *line).stdout


def test_a_preview_and_a_plan_of_what_is_remembered(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    line = [*LINE, f"data.path={battles(20)}", f"store.dir={tmp_path}/store"]
    quick_job("judge", *line, f"run.dir={tmp_path}/first")
    assert "Question number 0?" in quick_job("judge", *line, f"run.dir={tmp_path}/none", "prompt.preview=1").stdout
    assert not (tmp_path / "none").exists()
    said = quick_job("plan", *line, f"run.dir={tmp_path}/second").stdout
    assert "known   20 of 20 rows are remembered from earlier runs; 0 to do" in said
    assert "nothing is left to do: no engine is asked" in said


def test_what_the_store_says(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    line = [*LINE, f"data.path={battles(20)}", f"store.dir={tmp_path}/store"]
    for name in ("first", "second"):
        quick_job("judge", *line, f"run.dir={tmp_path}/{name}")
    said = quick_job("store", f"store.dir={tmp_path}/store").stdout
    assert "(20 answers to 1 questions, " in said
    assert said.splitlines()[2].split()[1:4] == ["dummy", "20", "1"]
    assert said.splitlines()[2].split()[6:8] == ["20", "2"]
    done = quick_job("store", f"store.dir={tmp_path}/store", "store.prune_engine=mine", code=2)
    assert "store.prune_engine=mine: has no answers here; dummy has" in done.stderr
    quick_job("store", f"store.dir={tmp_path}/store", "store.prune_engine=dummy")
    assert "(0 answers" in quick_job("store", f"store.dir={tmp_path}/store").stdout
    assert "there is no store" in quick_job("store", f"store.dir={tmp_path}/other", code=2).stderr
