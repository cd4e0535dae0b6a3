"""Another submission of a run that is there: by another rule, without its engine."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lib.data.submission import read_submission
from lib.scoring.calibrating.temperature import TemperatureTie
from lib.scoring.probabilities import threshold
from tests.running import Job, in_process

DUMMY = ["engine=dummy", "executor=inline"]
WRITTEN = ["judge.mode=text", "generate.temperature=1", "generate.n=4", "generate.choice=[A,B,tie]"]
LINES = {
    "arena": ["arena"],
    "judge": ["judge"],
    "once": ["judge", "judge.swap=none"],
    "written": ["judge", *WRITTEN, "generate.max_new_tokens=8"],
    "failed": ["arena", "engine.fail_on=capital", "run.max_error_rate=1", "merge.on_failed=uniform"],
    "generate": ["generate", "data=table", "data.path={prompts}", "prompt=instruct"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, prompts: Path) -> Path:
    """A folder of finished runs."""
    folder = tmp_path_factory.mktemp("runs")
    for name, (job, *line) in LINES.items():
        in_process(job, *DUMMY, *(word.format(prompts=prompts) for word in line), f"run.dir={folder / name}")
    return folder


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def columns(run: Path, *names: str) -> np.ndarray:
    table = pq.read_table(run / "result.parquet")
    return np.column_stack([table[name].to_numpy() for name in names])


@pytest.mark.parametrize("name", ["arena", "judge", "once", "written"])
def test_without_a_rule_it_is_the_runs_own(name: str, runs: Path, quick_job: Job, tmp_path: Path) -> None:
    before = content(runs / name)
    said = quick_job("merge", f"run.dir={runs / name}", f"merge.out={tmp_path}/new/own.csv").stdout
    assert f"submission: {tmp_path}/new/own.csv (20 rows, checked)" in said
    assert (tmp_path / "new" / "own.csv").read_bytes() == (runs / name / "submission.csv").read_bytes()
    metrics = json.loads((runs / name / "metrics.json").read_text())
    for name_of_run in ("computed", "remembered", "engine"):
        del metrics[name_of_run]
    assert json.loads((tmp_path / "new" / "own.metrics.json").read_text()) == metrics
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "own.csv", "own.metrics.json", "own.report.html",
    ]  # fmt: skip
    assert content(runs / name) == before


def test_the_threshold_rule_in_place_of_davidsons(runs: Path, quick_job: Job, tmp_path: Path) -> None:
    out = tmp_path / "threshold.csv"
    quick_job("merge", f"run.dir={runs}/arena", f"merge.out={out}", "arena.rule=threshold", "arena.tie_margin=0.5")
    expected = threshold(*columns(runs / "arena", "score_a", "score_b").T, tie_margin=0.5)
    np.testing.assert_allclose(read_submission(out).probabilities, expected, atol=1e-6)
    anew = tmp_path / "anew"
    quick_job("arena", *DUMMY, "arena.rule=threshold", "arena.tie_margin=0.5", f"run.dir={anew}")
    assert out.read_bytes() == (anew / "submission.csv").read_bytes()
    page = out.with_name("threshold.report.html").read_text()
    assert "arena.rule=threshold" in page
    assert "arena.tie_margin=0.5" in page
    back = tmp_path / "back.csv"
    quick_job("merge", f"run.dir={anew}", f"merge.out={back}", "arena.rule=davidson")
    assert back.read_bytes() == (runs / "arena" / "submission.csv").read_bytes()


@pytest.mark.parametrize(("name", "line"), [("judge", []), ("once", ["judge.swap=none"])])
def test_a_temperature_and_a_tie_offset(name: str, line: list[str], runs: Path, quick_job: Job, tmp_path: Path) -> None:
    rule = ["judge.temperature=2", "judge.tie_offset=-0.5"]
    quick_job("merge", f"run.dir={runs / name}", f"merge.out={tmp_path}/cool.csv", *rule)
    raw = columns(runs / name, "p_a", "p_b", "p_tie")
    expected = TemperatureTie(temperature=2, tie_offset=-0.5).of_probabilities(raw)
    np.testing.assert_allclose(read_submission(tmp_path / "cool.csv").probabilities, expected, atol=1e-6)
    quick_job("judge", *DUMMY, *line, *rule, f"run.dir={tmp_path}/anew")
    assert (tmp_path / "cool.csv").read_bytes() == (tmp_path / "anew" / "submission.csv").read_bytes()
    loss = json.loads((tmp_path / "cool.metrics.json").read_text())["log_loss"]
    assert math.isclose(loss, json.loads((tmp_path / "anew" / "metrics.json").read_text())["log_loss"])
    quick_job("merge", f"run.dir={tmp_path}/anew", f"merge.out={tmp_path}/plain.csv", "judge.temperature=1",
              "judge.tie_offset=0")  # fmt: skip
    assert (tmp_path / "plain.csv").read_bytes() == (runs / name / "submission.csv").read_bytes()


def test_failed_rows_stay_failed(runs: Path, quick_job: Job, tmp_path: Path) -> None:
    line = [f"run.dir={runs}/failed", f"merge.out={tmp_path}/new.csv", "arena.scale=2"]
    assert "some rows have no result" in quick_job("merge", *line, code=1).stderr
    assert not list(tmp_path.iterdir())
    quick_job("merge", *line, "merge.on_failed=prior", "merge.prior=[0.5,0.3,0.2]")
    failed = pq.read_table(runs / "failed" / "result.parquet")["error"].is_valid().to_numpy()
    assert failed.sum() == 1
    assert read_submission(tmp_path / "new.csv").probabilities[failed].tolist() == [[0.5, 0.3, 0.2]]


@pytest.mark.parametrize(
    ("run", "line", "why"),
    [
        (
            "arena",
            ["arena.rule=threshold"],
            "arena.rule=threshold: makes another submission; say where, with",
        ),
        ("arena", ["{out}", "judge.temperature=2"], "judge.temperature=2: has no effect on a run of jobs.arena"),
        ("judge", ["{out}", "arena.scale=2"], "arena.scale=2: has no effect on a run of jobs.judge"),
        ("judge", ["{out}", "judge.swap=none"], "judge.swap=none: is no setting of the rule, but of what the engine"),
        ("judge", ["{out}", "judge.temprature=2"], "judge.temprature=2: no such key; a rule has temperature, tie_"),
        ("judge", ["{out}", "judge.temperature=0"], "judge.temperature=0.0: must be above 0"),
        ("judge", ["{out}", "judge.temperature=x"], "judge.temperature: Value 'x' of type 'str'"),
        ("arena", ["{out}", "arena.tie_margin=1"], "arena.tie_margin=1.0: has no effect with arena.rule=davidson"),
        ("arena", ["{out}", "arena.rule=x"], "arena.rule: Invalid value 'x', expected one of [davidson, threshold]"),
        ("arena", ["{out}", "run.max_error_rate=0.5"], "run.max_error_rate=0.5: has no effect with merge.out"),
        ("generate", ["{out}"], "a run of jobs.generate has no submission"),
        ("arena", ["merge.out={runs}/arena/submission.csv"], "/arena/submission.csv is there already; choose another"),
        ("none", ["{out}"], "/none: no run folder"),
    ],
)
def test_refusals(run: str, line: list[str], why: str, runs: Path, quick_job: Job, tmp_path: Path) -> None:
    words = [word.format(out=f"merge.out={tmp_path}/new.csv", runs=runs) for word in line]
    assert why in quick_job("merge", f"run.dir={runs / run}", *words, code=2).stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["new.csv", "new.metrics.json", "new.report.html"])
def test_no_file_is_overwritten(name: str, runs: Path, quick_job: Job, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    line = [f"run.dir={runs}/arena", f"merge.out={tmp_path}/new.csv"]
    assert f"{tmp_path / name} is there already" in quick_job("merge", *line, code=2).stderr
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "mine"}


def test_it_never_passes_for_the_runs_own(runs: Path, quick_job: Job, tmp_path: Path) -> None:
    quick_job("arena", *DUMMY, f"run.dir={tmp_path}/run")
    (tmp_path / "run" / "submission.csv").unlink()
    line = [f"run.dir={tmp_path}/run", f"merge.out={tmp_path}/run/submission.csv", "arena.scale=2"]
    assert "would pass for the run's own submission" in quick_job("merge", *line, code=2).stderr
    (tmp_path / "run" / "result.parquet").unlink()
    line[1] = f"merge.out={tmp_path}/new.csv"
    assert "has no result.parquet yet" in quick_job("merge", *line, code=2).stderr


def test_a_rule_on_blended_submissions_is_refused(quick_job: Job, tmp_path: Path) -> None:
    line = ["merge.submissions=[a.csv]", "merge.weights=[1]", f"merge.out={tmp_path}/new.csv", "arena.scale=2"]
    assert "arena.scale=2: has no effect on submissions that are blended" in quick_job("merge", *line, code=2).stderr


def test_another_rule_in_the_same_folder_is_another_plan_that_says_the_way_out(runs: Path, quick_job: Job) -> None:
    line = [*DUMMY, f"run.dir={runs}/arena"]
    said = quick_job("arena", *line, "arena.rule=threshold", code=2).stderr
    assert 'task.arena.rule: was "davidson", now "threshold"' in said
    assert f"jobs.merge run.dir={runs}/arena merge.out=FILE arena.rule=threshold" in said
    said = quick_job("arena", *line, "arena.rule=threshold", "arena.truncate=none", code=2).stderr
    assert "holds another plan" in said
    assert "jobs.merge" not in said
