"""Finished runs as other tools' logs: all rows, with what was asked, answered and right; read back by the tool."""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Job

DUMMY = ["engine=dummy", "executor=inline"]
needs_inspect = pytest.mark.skipif(
    importlib.util.find_spec("inspect_ai") is None, reason="needs inspect-ai, of the extra inspect"
)


@pytest.fixture
def lines(quick_job: Job, tmp_path: Path) -> Callable[[Path], list[dict[str, Any]]]:
    """Export a run for lm-eval; its lines, read as strictly as others do."""

    def read(run: Path) -> list[dict[str, Any]]:
        out = tmp_path / f"{run.name}-lines"
        quick_job("export", f"run.dir={run}", "export.to=lm_eval", f"export.out={out}")
        (file,) = out.iterdir()
        strict = json.JSONDecoder(parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        return [strict.decode(line) for line in file.read_text(encoding="utf-8").splitlines()]

    return read


@pytest.fixture
def run(battles: Callable[..., Path], quick_job: Job, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    line = ["data=arena", f"data.path={battles(6, {2: 'poison'})}", *DUMMY]
    own = ["engine.fail_on=poison", "run.max_error_rate=0.5", "merge.on_failed=uniform", f"run.dir={folder}"]
    quick_job("judge", *line, *own)
    return folder


def test_lm_eval_has_a_line_for_each_row(run: Path, lines: Callable[[Path], list[dict[str, Any]]]) -> None:
    found = lines(run)
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


@needs_inspect
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


@pytest.fixture
def written(quick_job: Job, tmp_path: Path) -> Path:
    """Two texts of each of some rows with odd ids: one has no id, one no text."""
    ids, texts = ["01", "a/b", "a∕b", "../日本", None, "4"], ["one", "two", "three", "four", "five", None]
    seen = [float("nan"), float("inf"), 1.0, 2.0, 3.0, 4.0]
    pq.write_table(pa.table({"id": ids, "instruction": texts, "seen": seen}), tmp_path / "odd_ones.parquet")
    line = ["data=table", f"data.path={tmp_path / 'odd_ones.parquet'}", "data.on_bad_row=record", "data.carry=[seen]"]
    own = ["generate.n=2", "generate.temperature=1", "run.max_error_rate=0.5", f"run.dir={tmp_path / 'written'}"]
    quick_job("generate", *line, *own, *DUMMY)
    return tmp_path / "written"


def test_lines_of_texts_have_all_samples_and_odd_ids(
    written: Path, lines: Callable[[Path], list[dict[str, Any]]]
) -> None:
    found, rows = lines(written), pq.read_table(written / "result.parquet").to_pylist()
    assert [line["doc"]["id"] for line in found] == ["01", "a/b", "a∕b", "../日本", "row 4, without an id", "4"]
    asked = [line["arguments"]["gen_args_0"]["arg_0"] for line in found]
    assert asked == ["one", "two", "three", "four", "five", ""]
    assert [line["doc"]["seen"] for line in found] == [None, None, 1.0, 2.0, 3.0, 4.0]
    for line, row in zip(found[:4], rows, strict=False):
        assert len(row["text"]) == 2
        assert line["resps"] == line["filtered_resps"] == [row["text"]]
    assert all("error" in line and line["resps"] == [[""]] for line in found[4:])


@needs_inspect
def test_the_log_has_rows_with_odd_ids_once(written: Path, quick_job: Job, tmp_path: Path) -> None:
    from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample

    quick_job("export", f"run.dir={written}", "export.to=inspect", f"export.out={tmp_path / 'logs'}")
    (info,) = list_eval_logs(str(tmp_path / "logs"))
    log, rows = read_eval_log(info), pq.read_table(written / "result.parquet").to_pylist()
    assert (info.task, info.task_id) == ("generate-table-odd-ones-dummy", log.eval.task_id)
    assert log.samples is not None
    assert len(log.samples) == 6
    for row in rows[:4]:
        choices = read_eval_log_sample(info, row["id"], 1).output.choices
        assert [choice.message.text for choice in choices] == row["text"]
    without = read_eval_log_sample(info, "row 4, without an id", 1)
    assert without.error is not None
    assert without.input[-1].text == "five"


@needs_inspect
def test_the_log_of_a_run_that_failed_says_so(battles: Callable[..., Path], quick_job: Job, tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log

    line = ["data=arena", f"data.path={battles(3, {1: 'poison'})}", *DUMMY, f"run.dir={tmp_path / 'run'}"]
    quick_job("judge", *line, "engine.fail_on=poison", code=1)
    quick_job("export", f"run.dir={tmp_path / 'run'}", "export.to=inspect", f"export.out={tmp_path / 'logs'}")
    log = read_eval_log(str(next((tmp_path / "logs").iterdir())))
    assert log.status == "error"
    assert log.error is not None
    assert log.error.message.startswith("1 of 3 rows failed, more than run.max_error_rate=0 allows")


def test_grades_and_battles_of_a_tournament_are_lines(
    quick_job: Job, lines: Callable[[Path], list[dict[str, Any]]], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        rows = [f"{key},{question},{name} answers\n" for key, question in (("01", "why?"), ("日/2", "how?"))]
        (tmp_path / f"{name}.csv").write_text("id,question,instruction\n" + "".join(rows), encoding="utf-8")
        line = ["data=table", f"data.path={tmp_path / f'{name}.csv'}", "data.carry=[question]"]
        quick_job("generate", *line, *DUMMY, f"run.dir={tmp_path / name}")
    graded = ["data=table", f"data.path={tmp_path / 'one.csv'}", "++data.columns.answer=instruction"]
    quick_job("grade", *graded, "prompt=mt_bench_single", *DUMMY, f"run.dir={tmp_path / 'graded'}")
    rows = pq.read_table(tmp_path / "graded" / "result.parquet").to_pylist()
    for graded_line, row in zip(lines(tmp_path / "graded"), rows, strict=True):
        assert (graded_line["grade"], graded_line["filtered_resps"]) == (row["grade"], [f"{row['grade']:g}"])
        assert "one answers" in graded_line["arguments"]["gen_args_0"]["arg_0"]
    answers = f"tournament.answers={{one: {tmp_path / 'one'}, two: {tmp_path / 'two'}}}"
    quick_job("tournament", answers, *DUMMY, f"run.dir={tmp_path / 'held'}")
    rows = pq.read_table(tmp_path / "held" / "result.parquet").to_pylist()
    texts = {name: pq.read_table(tmp_path / name / "result.parquet")["text"].to_pylist() for name in ("one", "two")}
    for line, row in zip(lines(tmp_path / "held"), rows, strict=True):
        asked = line["arguments"]["gen_args_0"]["arg_0"]
        number = ("01", "日/2").index(row["id"].rsplit("/", 2)[0])
        a, b = (texts[row[name]][number] for name in ("model_a", "model_b"))
        assert asked.index(("why?", "how?")[number]) < asked.index(a) < asked.index(b, asked.index(a) + len(a))
        assert (line["doc"]["id"], line["filtered_resps"]) == (row["id"], [row["verdict"]])


def test_what_cannot_be_written_or_read_leaves_no_folder(written: Path, quick_job: Job, tmp_path: Path) -> None:
    export = ["export", f"run.dir={written}", "export.to=lm_eval"]
    (tmp_path / "file").touch()
    said = quick_job(*export, f"export.out={tmp_path / 'file'}", code=2).stderr
    assert f"export.out={tmp_path / 'file'}: is no folder, and none can be made" in said
    (tmp_path / "odd_ones.parquet").unlink()
    assert "cannot be opened" in quick_job(*export, f"export.out={tmp_path / 'x'}", code=2).stderr
    assert not (tmp_path / "x").exists()


def test_runs_without_answers_are_refused(battles: Callable[..., Path], quick_job: Job, tmp_path: Path) -> None:
    line = ["data=arena", f"data.path={battles(3)}", *DUMMY, f"run.dir={tmp_path / 'run'}"]
    quick_job("arena", *line)
    said = quick_job("export", f"run.dir={tmp_path / 'run'}", "export.to=lm_eval", f"export.out={tmp_path}/x", code=2)
    assert "can't be exported: a reward model scores texts, and answers nothing" in said.stderr
    assert not (tmp_path / "x").exists()
