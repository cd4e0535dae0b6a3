"""A calibration is fitted on a labelled run and applied to another, without its engine."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from lib.data import parquet
from lib.data.submission import read_submission
from lib.scoring.metrics import log_loss
from tests.jobs.calibrated_runs import battles, columns, labelled_arena, labelled_judge, log_length, orders, run, write
from tests.running import Job, in_process
from tests.scoring.calibrating.drawing import softmax


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled runs, a calibration of each, and runs on other rows."""
    folder = tmp_path_factory.mktemp("calibrate")
    labelled_judge(folder)
    labelled_arena(folder)
    for name in ("judge", "arena"):
        in_process("calibrate", f"run.dir={folder / name}", f"out={folder}/{name}.json")
    other = write(folder / "other.csv", battles(5, rows=40))
    run("judge", other, folder / "judge_test")
    run("judge", other, folder / "once_test", "judge.swap=none")
    run("arena", other, folder / "arena_test")
    return folder


def parameters(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text())
    return {"method": content["method"], **content["parameters"]}


def test_a_judge_is_fitted_and_another_run_calibrated(made: Path, quick_job: Job, tmp_path: Path) -> None:
    content = json.loads((made / "judge.json").read_text())
    found = parameters(made / "judge.json")
    assert found.pop("method") == "temperature_tie"
    assert found["temperature"] == pytest.approx(1, abs=0.2)
    assert found["tie_offset"] == pytest.approx(-1.25, abs=0.3)
    assert set(content["held_out"]["methods"]) == {
        "temperature", "temperature_tie", "order_bias", "vector", "matrix",
    }  # fmt: skip
    fitted_on = content["fitted_on"]
    assert (fitted_on["rows"], fitted_on["questions"], fitted_on["job"]) == (600, 300, "judge")
    assert fitted_on["notes"] == []
    said = quick_job("merge", f"run.dir={made}/judge_test", f"merge.calibration={made}/judge.json",
                     f"merge.out={tmp_path}/new.csv")  # fmt: skip
    assert f"submission: {tmp_path}/new.csv (40 rows, checked)" in said.stdout
    assert "WARNING" not in said.stderr
    ab, ba = orders(made / "judge_test")
    expected = softmax(np.log((ab + ba) / 2) / found["temperature"] + [0, 0, found["tie_offset"]])
    np.testing.assert_allclose(read_submission(tmp_path / "new.csv").probabilities, expected, atol=1e-6)
    assert "merge.calibration=" in (tmp_path / "new.report.html").read_text()


def test_what_is_held_out_is_what_was_promised(made: Path) -> None:
    held = json.loads((made / "judge.json").read_text())["held_out"]
    p = columns(made / "judge", "p_a", "p_b", "p_tie")
    labels = np.argmax(
        np.loadtxt(made / "labelled.csv", delimiter=",", skiprows=1, usecols=(-3, -2, -1), quotechar='"'), 1
    )
    assert held["raw"] == pytest.approx(log_loss(p, labels), abs=1e-9)
    chosen = held["methods"]["temperature_tie"]
    assert chosen["log_loss"] < held["raw"] - 0.05
    assert chosen["log_loss"] < held["prior"]
    assert chosen["to_raw"]["mean"] == pytest.approx(chosen["log_loss"] - held["raw"])
    assert chosen["to_raw"]["low"] < chosen["to_raw"]["mean"] < chosen["to_raw"]["high"] < 0
    page = (made / "judge-report.html").read_text()
    assert page.count("<svg") == 2
    assert "After: temperature_tie, on rows held out" in page


def test_a_reward_model_is_fitted_with_lengths(made: Path, quick_job: Job, tmp_path: Path) -> None:
    found = parameters(made / "arena.json")
    assert found.pop("method") == "davidson_length"
    assert found["scale"] == pytest.approx(2, abs=0.5)
    assert found["length"] == pytest.approx(-0.8, abs=0.25)
    quick_job("merge", f"run.dir={made}/arena_test", f"merge.calibration={made}/arena.json",
              f"merge.out={tmp_path}/new.csv")  # fmt: skip
    a, b = columns(made / "arena_test", "score_a", "score_b").T
    z = found["scale"] * (a - b) + found["length"] * log_length(battles(5, rows=40)) + found["bias"]
    expected = softmax(np.stack([z / 2, -z / 2, np.full_like(z, found["log_nu"])], axis=1))
    np.testing.assert_allclose(read_submission(tmp_path / "new.csv").probabilities, expected, atol=1e-6)


def test_a_method_of_ones_choice(made: Path, quick_job: Job, tmp_path: Path) -> None:
    line = [f"run.dir={made}/judge", f"out={tmp_path}/c.json"]
    quick_job("calibrate", *line, "calibrate.method=order_bias")
    found = parameters(tmp_path / "c.json")
    assert found.pop("method") == "order_bias"
    out = [f"merge.calibration={tmp_path}/c.json", f"merge.out={tmp_path}/new.csv"]
    quick_job("merge", f"run.dir={made}/judge_test", *out)
    ab, ba = (np.log(p) / found["temperature"] for p in orders(made / "judge_test"))
    tie = found["tie_offset"]
    first, second = np.array([found["bias_ab"], 0, tie]), np.array([0, found["bias_ba"], tie])
    expected = (softmax(ab + first) + softmax(ba + second)) / 2
    np.testing.assert_allclose(read_submission(tmp_path / "new.csv").probabilities, expected, atol=1e-6)
    refused = quick_job("merge", f"run.dir={made}/once_test", out[0], f"merge.out={tmp_path}/once.csv", code=2)
    assert "order_bias needs a judge's answers in both orders, and this run asked in one" in refused.stderr
    refused = quick_job("calibrate", *line, "calibrate.method=davidson", code=2)
    assert "calibrate.method=davidson: needs scores of a reward model, which there are not here" in refused.stderr


def test_answers_that_tell_nothing_are_refused_unless_forced(quick_job: Job, tmp_path: Path) -> None:
    labels = np.random.default_rng(6).integers(0, 3, 200)
    run("judge", write(tmp_path / "noise.csv", battles(6, rows=200), labels), tmp_path / "noise")
    line = [f"run.dir={tmp_path}/noise", f"out={tmp_path}/c.json"]
    refused = quick_job("calibrate", *line, code=1)
    assert "is no better than the shares of the labels: its log loss on rows held out is" in refused.stderr
    assert "prior" in refused.stdout  # what each is worth is said all the same
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noise", "noise.csv"]
    assert "written all the same" in quick_job("calibrate", *line, "calibrate.force=true").stderr
    assert (tmp_path / "c.json").exists()


def test_another_engine_is_warned_of(made: Path, quick_job: Job, tmp_path: Path) -> None:
    run("judge", made / "other.csv", tmp_path / "seed", "engine.seed=7")
    line = [f"merge.calibration={made}/judge.json", f"merge.out={tmp_path}/new.csv"]
    said = quick_job("merge", f"run.dir={tmp_path}/seed", *line).stderr
    assert "fitted on answers of another engine: engine.seed=0, and this run has engine.seed=7" in said
    line[1] = f"merge.out={tmp_path}/once.csv"
    said = quick_job("merge", f"run.dir={made}/once_test", *line).stderr
    assert "fitted on answers to something else" in said


def test_failed_rows_stay_failed(made: Path, quick_job: Job, tmp_path: Path) -> None:
    more = ["engine.fail_on='Question 5 3?'", "run.max_error_rate=1", "merge.on_failed=uniform"]
    run("judge", made / "other.csv", tmp_path / "failed", *more)
    line = [f"run.dir={tmp_path}/failed", f"merge.calibration={made}/judge.json", f"merge.out={tmp_path}/new.csv"]
    assert "some rows have no result" in quick_job("merge", *line, code=1).stderr
    assert not (tmp_path / "new.csv").exists()
    quick_job("merge", *line, "merge.on_failed=prior", "merge.prior=[0.5,0.3,0.2]")
    assert read_submission(tmp_path / "new.csv").probabilities[6:8].tolist() == [[0.5, 0.3, 0.2]] * 2


def test_a_table_may_be_gone_since_the_run_has_its_rows(quick_job: Job, made: Path) -> None:
    data = made / "rewarded.csv"
    data.rename(made / "moved.csv")
    try:
        quick_job("calibrate", f"run.dir={made}/arena", f"out={made}/again.json")
    finally:
        (made / "moved.csv").replace(data)
    again, before = (json.loads((made / name).read_text()) for name in ("again.json", "arena.json"))
    assert again == before
    assert before["fitted_on"]["questions"] == 300


def test_without_parquet_that_was_read_in_place_lengths_are_left_out(
    quick_job: Job, made: Path, tmp_path: Path
) -> None:
    data = tmp_path / "rewarded.parquet"
    pq.write_table(pacsv.read_csv(made / "rewarded.csv"), data)
    run("arena", data, tmp_path / "run")
    data.rename(tmp_path / "moved.parquet")
    quick_job("calibrate", f"run.dir={tmp_path}/run", f"out={tmp_path}/blind.json")
    content = json.loads((tmp_path / "blind.json").read_text())
    assert content["method"] == "davidson"
    assert "lengths are left out" in content["fitted_on"]["notes"][0]
    line = [f"run.dir={tmp_path}/run", f"merge.calibration={made}/arena.json", f"merge.out={tmp_path}/lost.csv"]
    assert "rewarded.parquet" in quick_job("merge", *line, code=2).stderr
    pq.write_table(pq.read_table(tmp_path / "moved.parquet").slice(1), data)
    assert "rewarded.parquet: was changed" in quick_job("merge", *line, code=2).stderr
    assert not (tmp_path / "lost.csv").exists()


def test_rows_that_are_remembered_have_their_texts_read_again(made: Path, quick_job: Job, tmp_path: Path) -> None:
    store = f"store.dir={tmp_path}/store"
    run("arena", write(tmp_path / "some.csv", battles(5, rows=20)), tmp_path / "some", store)
    run("arena", made / "other.csv", tmp_path / "all", store)
    assert json.loads((tmp_path / "all" / "metrics.json").read_text())["remembered"] == 20
    for folder, name in ((tmp_path / "all", "all"), (made / "arena_test", "test")):
        calibrated = [f"merge.calibration={made}/arena.json", f"merge.out={tmp_path}/{name}.csv"]
        quick_job("merge", f"run.dir={folder}", *calibrated)
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "test.csv").read_bytes()


def test_a_stack_of_runs(made: Path, quick_job: Job, tmp_path: Path) -> None:
    run("judge", made / "labelled.csv", tmp_path / "seed", "engine.seed=7")
    runs = f"calibrate.runs=[{made}/judge,{tmp_path}/seed]"
    quick_job("calibrate", runs, f"out={tmp_path}/stack.json")
    content = json.loads((tmp_path / "stack.json").read_text())
    assert [found["run"] for found in content["fitted_on"]["runs"]] == [f"{made}/judge", f"{tmp_path}/seed"]
    weights, biases = (np.array(content["parameters"][name]) for name in ("weights", "biases"))
    assert weights.shape == (2, 3, 3)
    assert np.trace(weights[0]) > 4 * abs(np.trace(weights[1]))  # the other knows nothing of these labels
    files = [made / "judge" / "submission.csv", tmp_path / "seed" / "submission.csv"]
    line = [f"merge.calibration={tmp_path}/stack.json", f"merge.out={tmp_path}/new.csv"]
    quick_job("merge", f"merge.submissions=[{files[0]},{files[1]}]", *line)
    logs = [np.log(read_submission(file).probabilities) for file in files]
    expected = softmax(logs[0] @ weights[0].T + logs[1] @ weights[1].T + biases)
    np.testing.assert_allclose(read_submission(tmp_path / "new.csv").probabilities, expected, atol=1e-6)
    refused = quick_job("merge", f"merge.submissions=[{files[0]}]", *line, code=2).stderr
    assert "1 files, and merge.calibration=" in refused
    assert "is a stack of 2; give those of" in refused
    line[1] = f"merge.out={tmp_path}/other.csv"
    assert "give their submissions" in quick_job("merge", f"run.dir={made}/judge", *line, code=2).stderr


def test_a_real_submission_with_labels(shared: Path, quick_job: Job, tmp_path: Path) -> None:
    import pandas as pd

    labels = shared / "lmsys_oof" / "oof_predictions.csv"
    table = pd.read_csv(labels)
    names = {"A": "winner_model_a", "B": "winner_model_b", "tie": "winner_tie"}
    table[["id", *names]].rename(columns=names).to_csv(tmp_path / "raw.csv", index=False)
    line = [f"submission={tmp_path}/raw.csv", f"labels={labels}", f"out={tmp_path}/c.json", "normalise=true"]
    said = quick_job("calibrate", *line)
    assert "folds are by id" in said.stderr
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["method"] == "vector"
    assert content["held_out"]["raw"] == pytest.approx(0.948844, abs=1e-5)
    assert content["held_out"]["prior"] == pytest.approx(1.0972, abs=5e-4)
    assert content["held_out"]["methods"]["vector"]["log_loss"] == pytest.approx(0.9473, abs=6e-4)
    out = [f"merge.calibration={tmp_path}/c.json", f"merge.out={tmp_path}/new.csv", "merge.normalise=true"]
    quick_job("merge", f"merge.submissions=[{tmp_path}/raw.csv]", *out)
    fitted = log_loss(read_submission(tmp_path / "new.csv").probabilities, table["label"].to_numpy())
    assert 0.9460 < fitted < content["held_out"]["methods"]["vector"]["log_loss"]


def test_a_result_that_lacks_rows_is_named(made: Path, quick_job: Job, tmp_path: Path) -> None:
    shutil.copytree(made / "judge", tmp_path / "run")
    path = tmp_path / "run" / "result.parquet"
    parquet.write(parquet.read(path)[:-1], path)
    for line in (["calibrate", f"out={tmp_path}/c.json"],
                 ["merge", f"merge.calibration={made}/judge.json", f"merge.out={tmp_path}/new.csv"]):  # fmt: skip
        said = quick_job(line[0], f"run.dir={tmp_path}/run", *line[1:], code=2).stderr
        assert "result.parquet: has 599 rows, and its run 600; jobs.merge run.dir=" in said


@pytest.mark.parametrize(
    ("name", "line", "why"),
    [
        ("calibrate", ["run.dir={made}/judge"], "out: must be given"),
        ("calibrate", ["run.dir=x", "out={made}/labelled.csv"], "labelled.csv: is there already, and is no calib"),
        ("calibrate", ["out=c.json"], "give run.dir=DIR, or submission=FILE and labels=FILE, or calibrate.runs"),
        ("calibrate", ["out=c.json", "run.dir=x", "labels=y"], "submission, labels: have an effect together only"),
        ("calibrate", ["out=c.json", "run.dir=x", "normalise=true"], "normalise=true: has no effect on a run"),
        ("calibrate", ["out=c.json", "run.dir=x", "calibrate.folds=1"], "calibrate.folds=1: must be at least 2"),
        ("calibrate", ["out=c.json", "calibrate.runs=[x]"], "must be two or more runs"),
        ("calibrate", ["out={new}/c.json", "run.dir={made}/judge_test"], "no row has both an answer and a label"),
        ("calibrate", ["out={new}/c.json", "run.dir={made}/judge", "calibrate.method=magic"], "calibrate.method"),
        (
            "calibrate",
            ["out={new}/c.json", "calibrate.runs=[{made}/judge,{made}/arena]"],
            "{made}/arena: 600 ids, but 600 in {made}/judge; missing here: ['1-0'",
        ),
        ("merge", ["{judge}", "merge.calibration={made}/arena.json"], "davidson_length is of answers of jobs.arena"),
        ("merge", ["{judge}", "merge.calibration={made}/none.json"], "none.json: no such file; jobs.calibrate writes"),
        ("merge", ["{judge}", "merge.calibration={made}/other.csv"], "other.csv: not a calibration"),
        ("merge", ["{judge}", "{c}", "judge.temperature=2"], "judge.temperature=2: has no effect with merge.calib"),
        ("merge", ["run.dir={made}/judge_test", "{c}"], "merge.calibration={made}/judge.json: has no effect on a run"),
        ("merge", ["{files}", "{c}", "merge.weights=[1]"], "merge.calibration={made}/judge.json: has no effect with"),
        ("merge", ["{files}", "merge.calibration={made}/arena.json"], "davidson_length needs a run's own answers"),
        ("merge", ["merge.submissions=[a,b]", "{out}", "{c}"], "2 files, and merge.calibration="),
    ],
)  # fmt: skip
def test_refusals(name: str, line: list[str], why: str, made: Path, quick_job: Job, tmp_path: Path) -> None:
    out = f"merge.out={tmp_path}/new.csv"
    short = {
        "{judge}": [f"run.dir={made}/judge_test", out],
        "{files}": [f"merge.submissions=[{made}/judge/submission.csv]", out],
        "{out}": [out],
        "{c}": [f"merge.calibration={made}/judge.json"],
    }
    words = [word.format(made=made, new=tmp_path) for given in line for word in short.get(given, [given])]
    assert why.format(made=made) in quick_job(name, *words, code=2).stderr
    assert not list(tmp_path.iterdir())
