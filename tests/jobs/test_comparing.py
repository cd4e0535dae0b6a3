"""`jobs.evaluate runs=…` on runs of battles and on submissions."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Job

Battles = Callable[..., Path]
DUMMY = ("data=arena", "engine=dummy", "executor=inline")


@pytest.fixture
def two(quick_job: Job, battles: Battles, tmp_path: Path) -> list[Path]:
    """Two runs about the same 60 battles."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for seed, folder in enumerate(folders):
        quick_job("judge", *DUMMY, f"data.path={battles(60)}", f"engine.seed={seed}", f"run.dir={folder}")
    return folders


def test_two_runs_are_compared_row_by_row(two: list[Path], quick_job: Job, battles: Battles, tmp_path: Path) -> None:
    out = tmp_path / "compared"
    done = quick_job("evaluate", f"runs=[{two[0]},{two[1]}]", f"out={out}")
    assert "No difference in log loss shown: " in done.stdout
    content = json.loads((out / "metrics.json").read_text())
    alone = [json.loads((folder / "metrics.json").read_text())["log_loss"] for folder in two]
    assert content["difference"] == pytest.approx(alone[0] - alone[1])
    assert content["low"] < content["difference"] < content["high"]
    assert 0 < content["p"] <= 1
    assert (content["measured"], content["by"]) == (60, "question")
    assert len(content["differ_most"]) == 20
    row = content["differ_most"][0]
    assert row["prompt"] == f"Question number {int(row['name']) - 1000}?"
    assert "Where they differ most" in (out / "report.html").read_text()

    quick_job("evaluate", f"runs={tmp_path}/[ot][nw][eo]", f"out={out}", "metric=accuracy")
    assert json.loads((out / "metrics.json").read_text())["metric"] == "accuracy"

    files = f"[{two[0]}/submission.csv,{two[1]}/submission.csv,{two[0]}]"
    quick_job("evaluate", f"runs={files}", f"labels={battles(60)}", f"out={out}")
    pairs = json.loads((out / "metrics.json").read_text())["pairs"]
    assert [pair["measured"] for pair in pairs] == [60, 60, 60]
    assert pairs[0]["difference"] == pytest.approx(content["difference"], abs=1e-5)
    assert pairs[1]["difference"] == pytest.approx(0, abs=1e-5)


def test_what_cannot_be_compared_is_one_line(two: list[Path], quick_job: Job, tmp_path: Path) -> None:
    def said(*line: str) -> str:
        return quick_job("evaluate", *line, code=2).stderr.splitlines()[-1]

    assert "is alone; give two or more run folders or submissions" in said(f"runs=[{two[0]}]")
    assert "runs=3: must be a glob, or a list of run folders and submissions" in said("runs=3")
    assert "runs=[]: must be a glob" in said("runs=[]")
    assert "gone: matches no folder of a finished run" in said(f"runs=[{two[0]},{tmp_path}/gone]")
    assert "metric=kappa: has no effect without runs; leave it out" in said(f"run.dir={two[0]}", "metric=kappa")
    assert "cutoff=3: has no effect on a run of jobs.judge" in said(f"runs=[{two[0]},{two[1]}]", "cutoff=3")
    files = f"runs=[{two[0]}/submission.csv,{two[1]}/submission.csv]"
    assert "partial=true: has no effect on submissions that are compared" in said(files, "partial=true")
    (tmp_path / "labels.csv").write_text("id,label\nx,A\n")
    assert "labels.csv: has no id of a row that two of" in said(files, f"labels={tmp_path}/labels.csv")


def test_a_report_tells_of_bias_by_what_is_at_hand(quick_job: Job, tmp_path: Path) -> None:
    """Longer answers win, and the labels know nothing of the judge; the models are of the judge's family or not."""
    lines = []
    for n in range(80):
        a, b = "word " * (1 + n % 7), "word " * (1 + n % 5) + "\n\n# Header" * (n % 2)
        label = "A" if len(a) > len(b) else "B"
        cells = {"model_a": "gpt-4", "model_b": "claude-2", "language": ("en", "ja")[n % 2], "winner": label}
        lines.append(json.dumps({"id": n, "prompt": f"q{n // 4}", "response_a": a, "response_b": b, **cells}))
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    line = [*DUMMY, f"data.path={tmp_path}/x.jsonl", "data.turns=text", "data.columns.label=winner"]
    line.append("data.carry=[language]")
    done = quick_job("judge", *line, f"run.dir={tmp_path}/run", f"store.dir={tmp_path}/store")
    assert "Preference for longer answers: correlation " in done.stdout
    bias = json.loads((tmp_path / "run" / "metrics.json").read_text())["bias"]
    assert bias["rows"] == 80
    assert bias["length"]["labels"]["low"] > 0.3
    assert bias["markdown"].keys() == {"rows", "judge", "labels", "more"}
    assert [part["name"] for part in bias["by"]["language"]] == ["en", "ja"]
    assert sum(part["rows"] for part in bias["by_length"]) == 80
    assert "self_preference" not in bias  # the dummy engine is of no family
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(f"<h2>{heading}</h2>" in page for heading in ("Bias", "By length", "By language"))

    # Remembered rows have their texts in the source alone; when that is gone, nothing is said about texts.
    again = quick_job("judge", *line, f"run.dir={tmp_path}/again", f"store.dir={tmp_path}/store")
    assert "80 of 80 rows are remembered" in again.stderr
    assert json.loads((tmp_path / "again" / "metrics.json").read_text())["bias"] == bias
    (tmp_path / "x.jsonl").write_text("changed")
    gone = quick_job("evaluate", f"run.dir={tmp_path}/again")
    assert "nothing is said about texts, since the input is not at hand" in gone.stderr
    assert json.loads((tmp_path / "again" / "metrics.json").read_text())["bias"].keys() == {"rows", "by", "win_rates"}


def test_a_judge_is_compared_with_annotators(two: list[Path], quick_job: Job, tmp_path: Path) -> None:
    lines = [f"{1000 + n},{'AB'[n % 2]},{('A', 'B', 'tie')[n % 3]}" for n in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["id,label_ann,label_ben", *lines]) + "\n")
    done = quick_job("evaluate", f"annotations={tmp_path}/a.csv")
    assert "120 ratings of 60 items by 2 annotators" in done.stdout
    quick_job("evaluate", f"annotations={tmp_path}/a.csv", f"run.dir={two[0]}")
    content = json.loads((tmp_path / "a-agreement" / "metrics.json").read_text())
    assert [pair["annotators"][1] for pair in content["pairs"]] == ["ben", str(two[0]), str(two[0])]
    assert content["pairs"][1]["cohen_kappa"].keys() == {"none", "linear", "quadratic"}

    def said(*line: str) -> str:
        return quick_job("evaluate", *line, code=2).stderr.splitlines()[-1]

    assert "metric=kappa: has no effect on annotations" in said(f"annotations={tmp_path}/a.csv", "metric=kappa")
    assert "ratings=words: has no effect without annotations" in said(f"run.dir={two[0]}", "ratings=words")
    assert "no such file" in said(f"annotations={tmp_path}/gone.csv")
