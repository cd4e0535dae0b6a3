"""jobs.grade on real answers: what it leaves, what it refuses, and that nothing is asked twice."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.running import Job

DUMMY = ["engine=dummy", "executor=inline", "engine.max_model_len=8192"]


@pytest.fixture(scope="module")
def answers(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers of several systems to Rakuda's questions, with a correct one and points to look at."""
    categories = {}
    for line in (shared / "rakuda" / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        question = json.loads(line)
        categories[question["question_id"]] = question["category"]
    path = tmp_path_factory.mktemp("answers") / "answers.csv"
    reviews = (shared / "rakuda" / "reviews_gpt4_2023-07-14.jsonl").read_text(encoding="utf-8").splitlines()
    with path.open("w", newline="", encoding="utf-8") as file:
        names = ("id", "question_id", "question", "answer", "reference", "criterion", "model", "category")
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for number, review in enumerate(map(json.loads, reviews[:12])):
            row = {"question": "question_text", "answer": "answer1", "reference": "answer2", "model": "model1_id"}
            cells = {name: review[column] or "…" for name, column in row.items()}
            category = categories[review["question_id"]]
            own = {"id": number, "question_id": review["question_id"], "criterion": "正確さ", "category": category}
            writer.writerow({**cells, **own})
    return path


def line(answers: Path, folder: Path, *more: str) -> list[str]:
    return ["data=table", f"data.path={answers}", *DUMMY, f"run.dir={folder}", *more]


def test_answers_are_graded_and_summed_up(answers: Path, quick_job: Job, tmp_path: Path) -> None:
    said = quick_job("grade", *line(answers, tmp_path / "run", "prompt=mt_bench_single")).stdout
    table = pq.read_table(tmp_path / "run" / "result.parquet")
    assert table["grade"].null_count == 0
    assert all(1 <= grade <= 10 for grade in table["grade"].to_pylist())
    assert {"question_id", "question", "model", "category"} <= set(table.column_names)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["mean"] == pytest.approx(sum(table["grade"].to_pylist()) / 12)
    assert metrics["low"] < metrics["mean"] < metrics["high"]
    assert sum(metrics["histogram"].values()) == 12
    assert set(metrics["by"]["category"]) == set(table["category"].to_pylist())
    assert f"The mean grade is {metrics['mean']:.4f}" in said
    assert "By category" in (tmp_path / "run" / "report.html").read_text()
    again = quick_job("evaluate", f"run.dir={tmp_path / 'run'}").stdout
    assert f"The mean grade is {metrics['mean']:.4f}" in again


def test_criteria_are_asked_one_by_one_and_remembered(answers: Path, quick_job: Job, tmp_path: Path) -> None:
    criteria = "grade.criteria={right: 正確さ, natural: 日本語の自然さ}"
    more = ["prompt=rubric_ja", criteria, f"store.dir={tmp_path / 'store'}"]
    quick_job("grade", *line(answers, tmp_path / "run", *more))
    table = pq.read_table(tmp_path / "run" / "result.parquet").to_pylist()
    assert all(row["grade"] == pytest.approx((row["grade_right"] + row["grade_natural"]) / 2) for row in table)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics["criteria"]) == {"right", "natural"}
    quick_job("grade", *line(answers, tmp_path / "again", *more))
    assert json.loads((tmp_path / "again" / "metrics.json").read_text())["computed"] == 0
    assert pq.read_table(tmp_path / "again" / "result.parquet").to_pylist() == table


def test_written_grades_are_read(answers: Path, quick_job: Job, tmp_path: Path) -> None:
    choice = "generate.choice=['Fine. [[3]]','Bad. [[1]]','No grade.']"
    more = ["prompt=nejumi_ja", "grade.mode=text", choice]
    quick_job("grade", *line(answers, tmp_path / "run", *more, "run.max_error_rate=1"))
    for row in pq.read_table(tmp_path / "run" / "result.parquet").to_pylist():
        wanted = {"Fine. [[3]]": 3, "Bad. [[1]]": 1}.get(row["texts"][0])
        assert row["grade"] == wanted
        assert (row["error"] is None) is (wanted is not None)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["without_grade"] == metrics["failed"] / 12
    said = quick_job("grade", *line(answers, tmp_path / "other", *more), code=1).stderr
    assert "no grade: the answer ends with no whole number from 1 to 5 (ends: 'No grade.')" in said


def test_runs_of_two_turns_have_one_mean(answers: Path, quick_job: Job, tmp_path: Path) -> None:
    for name in ("nejumi_ja", "rubric_ja", "mt_bench_single"):
        quick_job("grade", *line(answers, tmp_path / name, f"prompt={name}"))
    out = tmp_path / "both"
    said = quick_job("evaluate", f"runs={tmp_path}/*_ja", f"out={out}").stdout
    means = [json.loads((tmp_path / name / "metrics.json").read_text())["mean"] for name in ("nejumi_ja", "rubric_ja")]
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["mean"] == pytest.approx(sum(means) / 2)
    assert [run["mean"] for run in metrics["by"]["run"].values()] == pytest.approx(means)
    assert "24 rows, 0 without a grade." in said
    said = quick_job("evaluate", f"runs={tmp_path}/*", f"out={out}", code=2).stderr
    assert "has other grades or criteria than" in said


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["prompt=pairwise_en"], "prompt.labels=['A', 'B', 'tie']: must be the grades"),
        (["prompt=elyza_tasks_100"], "column 'aspect' is missing"),
        (["prompt=nejumi_ja", "grade.criteria={a: b}"], "prompt.template has no slot {criterion}"),
        (["generate.max_new_tokens=2"], "generate.max_new_tokens=2: has no effect without grade.mode=text"),
        (["grade.mode=text", "grade.min_label_mass=0"], "has no effect with grade.mode=text"),
    ],
)
def test_what_can_not_be_graded_is_refused(
    more: list[str], message: str, answers: Path, quick_job: Job, tmp_path: Path
) -> None:
    said = quick_job("grade", *line(answers, tmp_path / "run", *more), code=2).stderr
    assert message in said
    assert "Traceback" not in said
