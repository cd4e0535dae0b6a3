"""Finished runs as other tools' logs: all rows, with what was asked, answered and right; read back by the tool."""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import Job


@pytest.fixture
def run(battles: Callable[..., Path], quick_job: Job, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    line = ["data=arena", f"data.path={battles(6, {2: 'poison'})}", "engine=dummy", "executor=inline"]
    own = ["engine.fail_on=poison", "run.max_error_rate=0.5", "merge.on_failed=uniform", f"run.dir={folder}"]
    quick_job("judge", *line, *own)
    return folder


def test_lm_eval_has_a_line_for_each_row(run: Path, quick_job: Job, tmp_path: Path) -> None:
    quick_job("export", f"run.dir={run}", "export.to=lm_eval", f"export.out={tmp_path / 'logs'}")
    (file,) = (tmp_path / "logs").iterdir()
    assert file.name.startswith("samples_judge-")
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows = pq.read_table(run / "result.parquet").to_pylist()
    assert [line["doc"]["id"] for line in found] == [row["id"] for row in rows]
    for line, row in zip(found, rows, strict=True):
        assert line["target"] == row["label"]
        assert line["prompt_hash"] == hashlib.sha256(line["arguments"]["gen_args_0"]["arg_0"].encode()).hexdigest()
        if row["error"] is None:
            assert line["filtered_resps"] == [row["verdict"]]
            assert line["acc"] == float(row["verdict"] == row["label"])
        else:
            assert (line["error"], line["metrics"]) == (row["error"], [])
    assert "poison" in found[2]["arguments"]["gen_args_0"]["arg_0"]


@pytest.mark.skipif(importlib.util.find_spec("inspect_ai") is None, reason="needs inspect-ai, of the extra inspect")
def test_inspect_reads_the_log(run: Path, quick_job: Job, tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log, read_eval_log_sample, read_eval_log_sample_summaries

    quick_job("export", f"run.dir={run}", "export.to=inspect", f"export.out={tmp_path / 'logs'}")
    (file,) = (tmp_path / "logs").iterdir()
    log, rows = read_eval_log(str(file)), pq.read_table(run / "result.parquet").to_pylist()
    assert log.status == "success"
    assert log.samples is not None
    assert {sample.id for sample in log.samples} == {row["id"] for row in rows}
    assert len(read_eval_log_sample_summaries(str(file))) == len(rows)
    for row in rows:
        sample = read_eval_log_sample(str(file), row["id"], 1)
        if row["error"] is None:
            assert sample.output.completion == row["verdict"]
            assert sample.scores is not None
            assert sample.scores["overnight"].value == ("C" if row["verdict"] == row["label"] else "I")
        else:
            assert sample.error is not None
            assert sample.error.message == row["error"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert log.results is not None
    assert log.results.scores[0].metrics["log_loss"].value == pytest.approx(metrics["log_loss"])


def test_runs_without_answers_are_refused(battles: Callable[..., Path], quick_job: Job, tmp_path: Path) -> None:
    line = ["data=arena", f"data.path={battles(3)}", "engine=dummy", "executor=inline", f"run.dir={tmp_path / 'run'}"]
    quick_job("arena", *line)
    said = quick_job("export", f"run.dir={tmp_path / 'run'}", "export.to=lm_eval", f"export.out={tmp_path}/x", code=2)
    assert "can't be exported: a reward model scores texts, and answers nothing" in said.stderr
    assert not (tmp_path / "x").exists()
