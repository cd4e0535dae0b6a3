"""Jobs about battles, in this process: what comes out, and what is said when something is wrong."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from lib.engines.dummy import DummyEngine
from tests.conftest import ROOT, Job
from tests.running import Done

Battles = Callable[..., Path]
FILES = {
    "config.yaml", "manifest.json", "shards", "failures.parquet", "progress.json", "result.parquet", "submission.csv",
    "metrics.json", "report.html", "log.txt", "input", "finished.json", "origin.json",
}  # fmt: skip
DUMMY = ("data=arena", "engine=dummy", "executor=inline")
POISON = {7: "this is POISON", 30: "POISON too"}


@pytest.mark.parametrize("name", ["judge", "arena"])
def test_a_run_leaves_all_its_files(name: str, quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    run = tmp_path / "run"
    require_all_files(quick_job(name, *DUMMY, f"data.path={battles(20)}", f"run.dir={run}"), run)


def require_all_files(done: Done, run: Path) -> None:
    """Of a run over 20 battles."""
    assert {path.name for path in run.iterdir()} == FILES
    submission = pd.read_csv(run / "submission.csv")
    assert submission["id"].tolist() == list(range(1000, 1020))
    metrics = json.loads((run / "metrics.json").read_text())
    for keys in (metrics, metrics["uniform"]):
        assert {"log_loss", "accuracy", "brier", "ece", "kappa", "coverage", "rows", "failed"} <= keys.keys()
    assert (metrics["rows"], metrics["failed"], metrics["coverage"]) == (20, 0, 1.0)
    assert metrics["uniform"]["log_loss"] == pytest.approx(1.0986, abs=1e-4)
    engine = metrics["engine"]
    assert engine["tokens"] == sum(pq.read_table(run / "result.parquet")["tokens"].to_pylist())
    assert 0 < engine["cached_share"] < 1
    assert 8 <= engine["queued"] <= 16  # shards of 8 and 4 rows, with two requests each
    assert engine["gpu_utilization"] is engine["mfu"] is None
    progress = json.loads((run / "progress.json").read_text())
    assert (progress["state"], progress["rows_done"]) == ("done", 20)
    assert progress["cached_share"] == engine["cached_share"]
    assert f"{engine['cached_share']:.0%} cached, " in done.stderr.rpartition("INFO done: ")[2]
    assert "submission.csv (20 rows, checked)" in done.stdout


def test_same_line_twice_resumes_and_a_changed_plan_is_refused(
    quick_job: Job, battles: Battles, tmp_path: Path
) -> None:
    line = [*DUMMY, f"data.path={battles(20)}", f"run.dir={tmp_path / 'run'}"]
    quick_job("judge", *line)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("shards/*/*")}
    done = quick_job("judge", *line, "run.max_error_rate=0.5", "executor=ray")
    assert "0 shards to do" in done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("shards/*/*")}
    refused = quick_job("judge", *line, "engine.seed=7", "data.limit=10", code=2)
    assert "engine.seed: was 0, now 7" in refused.stderr
    assert "data.limit: was null, now 10" in refused.stderr


def test_a_finished_run_is_finished_again_only_where_something_changed(
    quick_job: Job, battles: Battles, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    line = [*DUMMY, f"data.path={battles(20)}", f"run.dir={run}", "run.shard_rows=5"]
    quick_job("judge", *line)
    left = {path: path.read_bytes() for path in run.iterdir() if path.is_file() and path.name != "log.txt"}
    assert "as before" in quick_job("judge", *line).stdout
    for name in ("result.parquet", "submission.csv", "metrics.json", "report.html", "failures.parquet"):
        damaged = bytearray(left[run / name])
        damaged[len(damaged) // 2] ^= 1
        (run / name).write_bytes(damaged)
        done = quick_job("judge", *line)
        assert "submission.csv (20 rows, checked)" in done.stdout
        assert _timeless((run / name).read_bytes()) == _timeless(left[run / name])
    (run / "submission.csv").unlink()
    assert "checked" in quick_job("judge", *line).stdout
    (run / "finished.json").write_text("{")
    assert "checked" in quick_job("judge", *line).stdout
    assert "checked" in quick_job("judge", *line, "merge.on_failed=uniform").stdout
    assert "as before" in quick_job("judge", *line, "merge.on_failed=uniform").stdout
    next(run.glob("shards/*/*.parquet")).unlink()
    assert "checked" in quick_job("judge", *line, "merge.on_failed=uniform").stdout
    assert (run / "result.parquet").read_bytes() == left[run / "result.parquet"]


def _timeless(content: bytes) -> bytes:
    """Without the minute in which a report was merged."""
    return re.sub(rb"merged [-\d :]+ UTC", b"", content)


def test_default_folder_is_named_after_job_data_engine_and_fingerprint(quick_job: Job, battles: Battles) -> None:
    import shutil

    done = quick_job("judge", *DUMMY, f"data.path={battles(4)}")
    folder = Path(next(line for line in done.stdout.splitlines() if line.startswith("metrics")).split()[-1]).parent
    assert folder.parent == ROOT / "runs"
    assert folder.name.startswith("judge-arena-battles-dummy-")
    fingerprint = json.loads((folder / "manifest.json").read_text())["fingerprint"]
    assert folder.name.endswith(fingerprint[:8])
    shutil.rmtree(folder)


def test_failed_rows_are_recorded_and_the_run_says_so(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    run = tmp_path / "run"
    line = ["data=arena", f"data.path={battles(40, POISON)}", "engine=dummy", "engine.fail_on=POISON"]
    line += ["executor=inline", f"run.dir={run}"]
    require_failures(quick_job("judge", *line, code=1), run)

    tolerated = quick_job("judge", *line, "run.max_error_rate=0.05", code=1)
    assert "merge.on_failed" in tolerated.stderr.splitlines()[-1]
    quick_job("judge", *line, "run.max_error_rate=0.05", "merge.on_failed=uniform")
    assert pd.read_csv(run / "submission.csv").loc[7, "winner_tie"] == pytest.approx(1 / 3, abs=1e-6)
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["failed"], metrics["coverage"]) == (2, 0.95)


def require_failures(done: Done, run: Path) -> None:
    """Of a run over 40 battles with POISON."""
    assert "2 of 40 rows failed" in done.stderr.splitlines()[-1]
    assert "row 7" in done.stderr.splitlines()[-1]
    assert not (run / "submission.csv").exists()
    failures = pq.read_table(run / "failures.parquet").to_pylist()
    assert [(failure["row"], failure["id"]) for failure in failures] == [(7, "1007"), (30, "1030")]
    assert all("POISON" in failure["error"] for failure in failures)
    result = pq.read_table(run / "result.parquet").to_pandas()
    assert result.loc[result["error"].notna(), "p_a"].isna().all()
    assert result.loc[result["error"].isna(), "p_a"].notna().all()


def test_evaluate_and_merge_alone(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    path, run = battles(60), tmp_path / "run"
    quick_job("judge", *DUMMY, f"data.path={path}", f"run.dir={run}")
    kept = {name: (run / name).read_bytes() for name in ("metrics.json", "submission.csv", "result.parquet")}
    for name in kept:
        (run / name).unlink()
    quick_job("evaluate", f"run.dir={run}", code=2)  # no result yet
    quick_job("merge", f"run.dir={run}")
    for name in ("evaluate", "merge"):  # paths are shown as the run shows them
        said = quick_job(name, f"run.dir={os.path.relpath(run, ROOT)}").stdout
        assert f"metrics:    {run}/metrics.json" in said
    assert kept == {name: (run / name).read_bytes() for name in kept}

    out = tmp_path / "evaluation"
    quick_job("evaluate", f"submission={run}/submission.csv", f"labels={path}", f"out={out}")
    of_run, of_file = (json.loads((folder / "metrics.json").read_text()) for folder in (run, out))
    assert of_file["log_loss"] == pytest.approx(of_run["log_loss"], abs=1e-5)
    assert of_file["accuracy"] == of_run["accuracy"]

    other = tmp_path / "other"
    quick_job("judge", *DUMMY, f"data.path={path}", "engine.seed=1", f"run.dir={other}")
    files = f"[{run}/submission.csv,{other}/submission.csv]"
    quick_job("merge", f"merge.submissions={files}", "merge.weights=[0.6,0.4]", f"merge.out={tmp_path}/blend.csv")
    a, b, blend = (
        pd.read_csv(file) for file in (run / "submission.csv", other / "submission.csv", tmp_path / "blend.csv")
    )
    column = "winner_model_a"
    assert (blend[column] - (0.6 * a[column] + 0.4 * b[column])).abs().max() < 2e-6
    refused = quick_job(
        "merge", f"merge.submissions={files}", "merge.weights=[0.6,0.6]", f"merge.out={out}/x.csv", code=2
    )
    assert "merge.weights" in refused.stderr


def test_plan_measures_and_the_run_goes_on_from_there(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    line = [*DUMMY, f"data.path={battles(200)}", "engine.seconds_per_request=0.001", f"run.dir={tmp_path / 'run'}"]
    planned = quick_job("plan", *line).stdout
    assert "200 in 25 shards of 8" in planned
    assert not list((tmp_path / "run").glob("shards/*/*"))
    measured = quick_job("plan", *line, "plan.measure=true", "plan.rows=80").stdout
    assert "95 %" in measured.splitlines()[-1]
    shards = len(list((tmp_path / "run").glob("shards/*/*")))
    assert shards == 10
    assert f"{25 - shards} shards to do" in quick_job("judge", *line).stderr


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["engine=dummy", "plan.gpu=Voodoo2"], "plan.gpu=Voodoo2: not a GPU we know; use one of T4, "),
        (["engine=dummy", "plan.gpu=L4"], "plan.gpu=L4: engine.num_gpus=0 means"),
        (["engine=dummy", "plan.deadline=tonight"], "plan.deadline=tonight: must be a number"),
    ],
    ids=str,
)
def test_plans_that_cannot_be_made(
    overrides: list[str], said: str, quick_job: Job, battles: Battles, tmp_path: Path
) -> None:
    line = ["data=arena", f"data.path={battles(10)}", "executor=inline", f"run.dir={tmp_path / 'run'}", *overrides]
    refused = quick_job("plan", *line, code=2)
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_kaggle_test_file_matches_its_sample_submission(quick_job: Job, shared: Path, tmp_path: Path) -> None:
    folder = shared / "arena_kaggle"
    line = [*DUMMY, f"data.path={folder}/test.csv", f"merge.sample={folder}/sample_submission.csv"]
    quick_job("judge", *line, f"run.dir={tmp_path / 'run'}")
    ids = pd.read_csv(tmp_path / "run" / "submission.csv")["id"]
    assert ids.tolist() == pd.read_csv(folder / "sample_submission.csv")["id"].tolist()
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["rows"], metrics["log_loss"]) == (3, None)


def test_a_folder_is_only_resumed_as_what_it_is(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    run = tmp_path / "run"
    line = [*DUMMY, f"data.path={battles(20)}", f"run.dir={run}", "run.shard_rows=5"]
    quick_job("judge", *line)
    result = (run / "result.parquet").read_bytes()

    shard = run / "shards" / "0000" / "shard-00000002.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:4] + bytes(byte ^ 255 for byte in whole[4:200]) + whole[200:])
    damaged = quick_job("judge", *line, code=2)
    assert "shard-00000002.parquet: damaged" in damaged.stderr.splitlines()[-1]
    shard.unlink()
    quick_job("judge", *line)
    assert (run / "result.parquet").read_bytes() == result

    (run / "manifest.json").unlink()
    refused = quick_job("judge", *line, "run.shard_rows=4", code=2)
    assert "has shards, but no manifest.json" in refused.stderr.splitlines()[-1]


def test_parquet_that_moved_is_the_same_input(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    path, run = tmp_path / "a.parquet", tmp_path / "run"
    pd.read_csv(battles(20)).to_parquet(path)
    quick_job("plan", *DUMMY, f"data.path={path}", f"run.dir={run}")
    moved = path.rename(tmp_path / "b.parquet")
    moved.touch()
    quick_job("judge", *DUMMY, f"data.path={moved}", f"run.dir={run}")
    assert pq.read_table(run / "result.parquet")["row"].to_pylist() == list(range(20))


def test_what_is_sure_to_fail_is_said_before_the_run(
    quick_job: Job, battles: Battles, shared: Path, tmp_path: Path
) -> None:
    path, run = battles(20), tmp_path / "run"
    sample = f"merge.sample={shared}/arena_kaggle/sample_submission.csv"
    assert "3 ids" in quick_job("judge", *DUMMY, f"data.path={path}", f"run.dir={run}", sample, code=2).stderr
    assert not list((run / "shards").rglob("*.parquet"))

    bad = tmp_path / "bad.csv"
    bad.write_text(path.read_text().replace('"[""Question number 3?""]"', "[Question"))
    line = [*DUMMY, f"data.path={bad}", "data.on_bad_row=record", f"run.dir={tmp_path / 'two'}"]
    assert "run.max_error_rate" in quick_job("judge", *line, code=2).stderr.splitlines()[-1]
    quick_job("judge", *line, "run.max_error_rate=0.1", "merge.on_failed=uniform")
    failures = pq.read_table(tmp_path / "two" / "failures.parquet").to_pylist()
    assert [failure["row"] for failure in failures] == [3]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data=arena"], "data.path: must be given"),
        (["data=arena", "data.path=none.csv"], "none.csv"),
        (["engine=unknown"], "engine/unknown"),
        (["engine.modell=x"], "modell"),
        (["data.limit=-1"], "data.limit=-1"),
        (["judge.swap=sometimes"], "sometimes"),
        (["engine.max_model_len=20"], "engine.max_model_len=20"),
        (["prompt.labels=[A,A,tie]"], "prompt.labels"),
        (["prompt.labels=[A,AB,tie]"], "can't tell them apart"),
        (["prompt.template=hello"], "prompt.template"),
        (["run.dir=/proc/nowhere"], "cannot be written"),
        (["run.max_error_rate=2"], "run.max_error_rate=2"),
        (["run.grace_seconds=nan"], "run.grace_seconds=nan: must be a finite number"),
        (["engine.seconds_per_request=inf"], "engine.seconds_per_request=inf: must be a finite number"),
        (["executor=ray", "executor.workers=0"], "executor.workers=0"),
        (["executor=ray", "executor.max_restarts=-1"], "executor.max_restarts=-1"),
        (["merge.on_failed=prior"], "merge.prior"),
        (["merge.sample=none.csv"], "merge.sample=none.csv"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_mistakes_are_refused_with_exit_code_2(overrides: list[str], said: str, quick_job: Job, tmp_path: Path) -> None:
    base = ["engine=dummy", "executor=inline", f"run.dir={tmp_path / 'run'}"]
    keys = {override.split("=")[0] for override in overrides}
    done = quick_job("judge", *(item for item in base if item.split("=")[0] not in keys), *overrides, code=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_memory_that_is_exhausted_in_the_middle_is_said_and_the_run_resumes(
    quick_job: Job, battles: Battles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    line = ["data=arena", f"data.path={battles(4)}", "engine=dummy", "executor=inline", f"run.dir={tmp_path / 'run'}"]
    with monkeypatch.context() as patch:
        patch.setattr(DummyEngine, "label_logprobs", exhausted)
        said = quick_job("judge", *line, code=1).stderr
    assert said.splitlines()[-1].endswith(
        "the machine refused: there is not enough memory. Mend that and run the same line again: it resumes"
    )
    assert "Traceback" not in said
    quick_job("judge", *line)


def test_sweeps_run_every_point(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    line = [*DUMMY, f"data.path={battles(6)}", f"run.dir={tmp_path}/seed${{engine.seed}}"]
    quick_job("judge", "--multirun", *line, "engine.seed=0,1")
    assert (tmp_path / "seed0" / "submission.csv").exists()
    assert (tmp_path / "seed1" / "submission.csv").exists()


def test_rows_that_do_not_sum_to_one_are_blended_where_asked(tmp_path: Path, quick_job: Job) -> None:
    (tmp_path / "a.csv").write_text("id,winner_model_a,winner_model_b,winner_tie\n1,0.2,0.2,0.1\n")
    line = ("merge", f"merge.submissions=[{tmp_path}/a.csv]", "merge.weights=[1]", f"merge.out={tmp_path}/blend.csv")
    assert "normalise=true divides by their sum" in quick_job(*line, code=2).stderr
    quick_job(*line, "merge.normalise=true")
    assert (tmp_path / "blend.csv").read_text().splitlines()[1] == "1,0.400000,0.400000,0.200000"


def test_a_refused_run_leaves_no_folder(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    line = ["data=arena", "engine=dummy", "executor=inline", f"data.path={battles(4)}", "store.dir=null"]
    for refused in ("engine.max_model_len=2", "data.columns.response_b=none", "data.turns=jsno"):
        quick_job("judge", *line, refused, f"run.dir={tmp_path}/run", code=2)
        assert not (tmp_path / "run").exists()
    quick_job("judge", "--multirun", *line, "engine.seed=0,x", f"run.dir={tmp_path}/swept", code=2)
    assert not (tmp_path / "swept").exists()


def test_runs_are_called_after_their_input(quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv", "test.csv"):
        path = battles(3 if name == "train.csv" else 4, name=name)
        quick_job(
            "judge", "data=arena", "engine=dummy", "executor=inline", f"data.path={path}", f"run.root={tmp_path}/r"
        )
    names = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "r").glob("judge-*"))
    assert names == ["judge-arena-test-dummy", "judge-arena-train-dummy"]
