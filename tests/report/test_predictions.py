from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.errors import InputError, RunFolderError
from lib.report.predictions import Failure, from_result, from_submission

NAMES = ("p_a", "p_b", "p_tie")
KAGGLE = Path(__file__).parents[3] / "shared/data/arena_kaggle/train_first100.csv"


def write_result(path, *, extra=(), drop=()):
    """Four rows: scored, failed, scored without a label, failed."""
    columns = {
        "file": ["data/a.csv"] * 4,
        "row": pa.array(range(4), pa.int64()),
        "id": ["x0", "x1", None, None],
        "label": ["A", "tie", None, "B"],
        "error": pa.array([None, "killed the worker", None, "too long"]),
        "p_a": [0.5, None, 0.2, None],
        "p_b": [0.3, None, 0.2, None],
        "p_tie": [0.2, None, 0.6, None],
        "cut_prompt": ["a column the report has no use for"] * 4,
    } | dict(extra)
    pq.write_table(pa.table({name: values for name, values in columns.items() if name not in drop}), path)
    return path


def test_a_result_is_read_with_nan_for_failed_and_minus_one_for_unknown(tmp_path):
    (read,) = from_result(write_result(tmp_path / "result.parquet"))
    np.testing.assert_array_equal(read.probabilities, [[0.5, 0.3, 0.2], [np.nan] * 3, [0.2, 0.2, 0.6], [np.nan] * 3])
    assert read.labels.tolist() == [0, 2, -1, 1]
    assert read.reasons == {"killed the worker": 1, "too long": 1}
    assert read.failures == (
        Failure("data/a.csv", 1, "x1", "killed the worker"),
        Failure("data/a.csv", 3, None, "too long"),
    )
    assert read.ab is read.ba is read.label_mass is read.score_a is read.score_b is None


def test_a_judge_result_has_its_orders_and_an_arena_result_its_scores(tmp_path):
    orders = {f"ab_{name}": [0.1 * (i + 1), None, 0.5, None] for i, name in enumerate(NAMES)}
    orders |= {f"ba_{name}": pa.array([None] * 4, pa.float64()) for name in NAMES}  # swap=none
    (judge,) = from_result(
        write_result(tmp_path / "judge.parquet", extra={**orders, "label_mass": [0.9, None, 0.7, None]})
    )
    np.testing.assert_allclose(judge.ab[0], [0.1, 0.2, 0.3])
    assert np.isnan(judge.ba).all()
    np.testing.assert_array_equal(judge.label_mass, [0.9, np.nan, 0.7, np.nan])
    scores = {"score_a": pa.array([1.5, None, 0.5, None], pa.float32()), "score_b": [0.0, None, 1.0, None]}
    (arena,) = from_result(write_result(tmp_path / "arena.parquet", extra=scores))
    np.testing.assert_array_equal(arena.score_a, [1.5, np.nan, 0.5, np.nan])
    assert arena.ab is None


def test_only_the_first_failures_are_kept_but_all_are_counted(tmp_path):
    n = 1_000
    nothing = pa.array([None] * n, pa.float64())
    columns = {"file": ["a"] * n, "row": range(n), "id": pa.array([None] * n, pa.string()), "error": ["why"] * n}
    columns |= {"label": pa.array([None] * n, pa.string()), **dict.fromkeys(NAMES, nothing)}
    pq.write_table(pa.table(columns), tmp_path / "result.parquet", row_group_size=100)
    (read,) = from_result(tmp_path / "result.parquet")
    assert read.reasons == {"why": n}
    assert [failure.row for failure in read.failures] == list(range(20))


def test_a_row_with_an_error_is_never_scored(tmp_path):
    full = {name: [0.4, 0.4, 0.4, 0.4] for name in NAMES}
    (read,) = from_result(write_result(tmp_path / "result.parquet", extra=full))
    assert np.isnan(read.probabilities).all(axis=1).tolist() == [False, True, False, True]


def test_results_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.parquet: no such file; finish the run"):
        list(from_result(tmp_path / "gone.parquet"))
    (tmp_path / "text.parquet").write_text("id,p_a\n")
    with pytest.raises(RunFolderError, match=r"text\.parquet: damaged"):
        list(from_result(tmp_path / "text.parquet"))
    with pytest.raises(InputError, match=r"no column p_tie, label; it has file, row"):
        list(from_result(write_result(tmp_path / "few.parquet", drop=("p_tie", "label"))))
    with pytest.raises(InputError, match="a label is none of A, B, tie and null"):
        list(from_result(write_result(tmp_path / "label.parquet", extra={"label": ["A", "B", "tie", "a"]})))


HEADER = "id,winner_model_a,winner_model_b,winner_tie\n"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_submission_meets_its_labels_by_id(tmp_path):
    submission = write(tmp_path / "s.csv", HEADER + "007,0.5,0.25,0.25\nb,0.1,0.2,0.7\n")
    labels = write(
        tmp_path / "l.csv",
        'id,prompt,winner_tie,winner_model_a,winner_model_b\nb,"two\nlines, ""quoted""",1,0,0\n7,,1,0,0\n007,,0,0,1\n',
    )
    with pytest.raises(InputError, match=r"s\.csv lacks 1 ids of .*l\.csv, the first of them 7; partial=true measures"):
        from_submission(submission, labels)
    read = from_submission(submission, labels, partial=True)
    np.testing.assert_array_equal(read.probabilities, [[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [np.nan] * 3])
    assert read.labels.tolist() == [1, 2, 2]
    assert read.reasons == {"not in the submission": 1}


def test_real_labels(tmp_path):
    if not KAGGLE.exists():
        pytest.skip("needs ../shared/data/arena_kaggle, competition data that may not be copied")
    import pandas as pd

    table = pd.read_csv(KAGGLE, dtype=str)[::-1]
    rows = "".join(f"{i},{a}.0,{b},{tie}\n" for i, a, b, tie in table.iloc[:, [0, 6, 7, 8]].itertuples(index=False))
    read = from_submission(write(tmp_path / "s.csv", HEADER + rows), KAGGLE)
    assert np.bincount(read.labels).tolist() == [31, 33, 36]
    assert (read.probabilities.argmax(axis=1) == read.labels).all()


def test_a_submission_without_labels_is_refused_by_id(tmp_path):
    submission = write(tmp_path / "s.csv", HEADER + "".join(f"{i},0.5,0.25,0.25\n" for i in range(9)))
    labels = write(tmp_path / "l.csv", HEADER + "3,1,0,0\n")
    with pytest.raises(InputError, match=r"l\.csv lacks 8 ids of .*s\.csv, the first of them 0, 1, 2, 4, 5;"):
        from_submission(submission, labels)
    assert from_submission(submission, labels, partial=True).labels.tolist() == [0]
    with pytest.raises(InputError, match="have no id in common"):
        from_submission(submission, write(tmp_path / "other.csv", HEADER + "x,1,0,0\n"), partial=True)


def test_sums_are_checked_as_the_grader_does(tmp_path):
    labels = write(tmp_path / "l.csv", HEADER + "a,1,0,0\nb,0,1,0\n")
    for row in ("0.333333,0.333333,0.333333", "0.333334,0.333334,0.333333"):
        submission = write(tmp_path / "s.csv", HEADER + f"a,0.5,0.25,0.25\nb,{row}\n")
        with pytest.raises(InputError, match=r"row 1 \(id b\): the values do not sum to 1 at 6 decimals"):
            from_submission(submission, labels)
        read = from_submission(submission, labels, normalise=True)
        np.testing.assert_allclose(read.probabilities[1], 1 / 3, atol=1e-6)
        assert read.probabilities[0].tolist() == [0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "1,1,0,0\n2,0,0,0\n", r"row 1 \(id 2\): exactly one of winner_model_a"),
        (HEADER + "1,0.5,0.5,0\n", r"row 0 \(id 1\): exactly one"),
        (HEADER + "1,1,0,\n", r"row 0 \(id 1\): exactly one"),
        (HEADER + "1,1,0,0\n1,0,1,0\n", "id 1 is there twice"),
        ("id,labels\n1,0\n", "no labels: give it a column label .* it has id, labels"),
        (HEADER.rstrip() + ",winner_tie\n1,0,0,1,0\n", "two columns are called 'winner_tie'; which one counts"),
        (HEADER + "1,yes,0,0\n", r"row 0 \(id 1\): exactly one"),
        (HEADER + "1,0,0\n", "not a CSV file .*Expected 4 columns"),
        ("", "not a CSV file"),
    ],
)
def test_labels_that_cannot_be_used_are_named(tmp_path, text, message):
    submission = write(tmp_path / "s.csv", HEADER + "1,0.5,0.25,0.25\n")
    with pytest.raises(InputError, match=r"l\.csv.*" + message):
        from_submission(submission, write(tmp_path / "l.csv", text))
    with pytest.raises(InputError, match=r"gone\.csv: no such file"):
        from_submission(submission, tmp_path / "gone.csv")
