from pathlib import Path

import pyarrow as pa
import pytest

from lib.data import parquet
from lib.errors import InputError
from lib.report.grades.grade_measures import measure_grades
from lib.report.grades.grades_page import grade_summary, render_grades

GRADES = (1.0, 2.0, 3.0)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    table = pa.table(
        {
            "row": [0, 1, 2, 3, 4],
            "id": ["a", "b", "c", "d", "e"],
            "question": ["x", "x", "y", "y", "z"],
            "model": ["one", "two", "one", "two", None],
            "turn": [1, 1, 2, 10, 2],
            "grade": [1.0, 2.5, 3.0, 1.4, None],
            "grade_clear": [1.0, 2.0, 3.0, 1.0, None],
            "label_mass": [0.5, 0.7, 0.6, 0.8, None],
            "error": [None, None, None, None, "<no grade>"],
        }
    )
    parquet.write(table, tmp_path / "result.parquet")
    return tmp_path / "result.parquet"


def test_means_are_of_the_rows_with_a_grade(result: Path) -> None:
    found = measure_grades({"x": result}, GRADES, ["clear"])
    assert (found.rows, found.failed, found.cluster) == (5, 1, "question")
    assert found.mean.mean == pytest.approx(7.9 / 4)
    assert (found.mean.rows, found.mean.clusters) == (4, 2)
    assert found.histogram == {"1": 2, "2": 0, "3": 2}  # 2.5 is as near to 2 as to 3
    assert found.criteria["clear"].mean == pytest.approx(7 / 4)
    assert found.label_mass == pytest.approx(0.65)
    assert {name: mean.mean for name, mean in found.by["model"].items()} == pytest.approx({"one": 2, "two": 1.95})
    assert list(found.by["turn"]) == ["1", "2", "10"]
    assert found.by["model, turn"]["two, 10"].mean == pytest.approx(1.4)
    content = found.content()
    assert (content["without_grade"], content["graded"], content["mean"]) == pytest.approx((0.2, 4, 7.9 / 4))


def test_the_page_says_why_rows_have_no_grade(result: Path) -> None:
    found = measure_grades({"x": result}, GRADES, ["clear"])
    page = render_grades(found, [result], "grade: x", {"job": "grade"})
    assert "&lt;no grade&gt;" in page
    assert "By model, turn" in page
    assert "5 rows, 1 without a grade (20.0%)." in page
    assert "two, 10" in grade_summary(found)


def test_a_result_of_failed_rows_alone_has_no_mean(tmp_path: Path) -> None:
    path = tmp_path / "result.parquet"
    columns = {"row": [0], "id": ["a"], "grade": pa.nulls(1, pa.float64()), "error": ["no"]}
    parquet.write(pa.table(columns), path)
    found = measure_grades({"x": path}, GRADES, [])
    assert (found.mean.mean, found.failed, found.cluster) == (None, 1, None)
    assert "<svg" in render_grades(found, [path], "x", {})


def test_a_result_without_grades_is_refused(tmp_path: Path) -> None:
    parquet.write(pa.table({"error": ["x"]}), tmp_path / "result.parquet")
    with pytest.raises(InputError, match="no column of grades"):
        measure_grades({"x": tmp_path / "result.parquet"}, GRADES, [])


def test_runs_are_measured_together_and_apart(result: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    parquet.write(pa.table({"row": [0], "id": ["a"], "question": ["x"], "grade": [2.0], "error": [None]}), other)
    found = measure_grades({"one": result, "two": other}, GRADES, [])
    assert found.mean.mean == pytest.approx((7.9 + 2) / 5)
    assert (found.mean.rows, found.mean.clusters) == (5, 2)  # the same question in both
    assert {name: mean.mean for name, mean in found.by["run"].items()} == pytest.approx({"one": 7.9 / 4, "two": 2})
    assert list(found.by) == ["run"]  # the columns that both have
