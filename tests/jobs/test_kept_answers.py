"""Answers that could not be kept: the same line again puts them into the store, though the run is finished."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Job


def test_a_finished_run_keeps_what_could_not_be_kept(
    tmp_path: Path, battles: Callable[..., Path], quick_job: Job
) -> None:
    line = ["data=arena", f"data.path={battles(5)}", "engine=dummy", "executor=inline", f"store.dir={tmp_path}/store"]
    quick_job("judge", *line, f"run.dir={tmp_path}/run")
    for path in [*(tmp_path / "store").glob("*/*.parquet"), tmp_path / "run" / "stored.json"]:
        path.unlink()  # as where the disk was full
    assert "as before" in quick_job("judge", *line, f"run.dir={tmp_path}/run").stdout
    assert len(list((tmp_path / "store").glob("*/*.parquet"))) == 1
    quick_job("judge", *line, f"run.dir={tmp_path}/again")
    assert json.loads((tmp_path / "again" / "metrics.json").read_text())["computed"] == 0
    quick_job("judge", *line, f"run.dir={tmp_path}/run")
    assert len(list((tmp_path / "store").glob("*/*.parquet"))) == 1


def test_labels_that_were_added_make_another_plan_that_computes_nothing(
    tmp_path: Path, battles: Callable[..., Path], quick_job: Job
) -> None:
    line = ["data=arena", f"data.path={battles(5)}", "engine=dummy", "executor=inline", f"store.dir={tmp_path}/store"]
    whole = (tmp_path / "battles.csv").read_text()
    (tmp_path / "battles.csv").write_text("".join(f"{row.rsplit(',', 3)[0]}\n" for row in whole.splitlines()))
    before = quick_job("judge", *line, f"run.dir={tmp_path}/run").stdout
    assert "No row has a label, so nothing was measured; data.columns.label=NAME says in which column" in before
    other = quick_job("judge", *line, "judge.swap=none", f"run.dir={tmp_path}/run", code=2).stderr
    assert "holds another plan" in other
    assert "remembers" not in other
    (tmp_path / "battles.csv").write_text(whole)
    said = quick_job("judge", *line, f"run.dir={tmp_path}/run", code=2).stderr
    assert "In another one nothing that was answered is computed again: the store remembers it." in said
    quick_job("judge", *line, f"run.dir={tmp_path}/labelled")
    assert json.loads((tmp_path / "labelled" / "metrics.json").read_text())["computed"] == 0


def test_what_is_no_name_is_left_out_and_not_recorded(tmp_path: Path, quick_job: Job) -> None:
    texts = {name: ["a", "b"] for name in ("id", "prompt", "response_a", "response_b")}
    pq.write_table(pa.table({**texts, "topic": [{"x": 1}, {"x": 2}]}), tmp_path / "t.parquet")
    line = ["data=arena", f"data.path={tmp_path / 't.parquet'}", "data.turns=text", "engine=dummy", "executor=inline"]
    said = quick_job("judge", *line, "data.carry=[topic]", f"run.dir={tmp_path}/run", code=2).stderr
    assert "Mend them, or leave topic out of data.carry" in said
    assert "on_bad_row" not in said


@pytest.mark.parametrize(
    ("rows", "own"),
    [
        ("1,q\n1,q\n", []),  # ids that are there twice
        ("1,q\n", ["data.path=none.csv"]),
        ("1,q\n", ["engine.max_model_len=8"]),
    ],
)
def test_a_refused_run_leaves_no_folders(rows: str, own: list[str], tmp_path: Path, quick_job: Job) -> None:
    (tmp_path / "t.csv").write_text(f"id,instruction\n{rows}")
    runs = tmp_path / "night" / "runs"
    line = ["data=table", f"data.path={tmp_path}/t.csv", "prompt=instruct", "engine=dummy", "executor=inline"]
    quick_job("generate", *line, f"run.root={runs}", f"store.dir={runs}/store", *own, code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
