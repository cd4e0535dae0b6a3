from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data import submission as module
from lib.data.submission import OnFailed, SubmissionConfig, read_submission, write_submission
from lib.errors import ConfigError, InputError, RunFailed

HEADER = "id,winner_model_a,winner_model_b,winner_tie\n"


def result(folder: Path, rows: list[list[float] | None], ids: list[str | None]) -> Path:
    columns = np.array([row or [np.nan] * 3 for row in rows]).T
    arrays = [pa.array(column, from_pandas=True) for column in columns]
    pq.write_table(
        pa.table([pa.array(ids, pa.string()), *arrays], names=["id", "p_a", "p_b", "p_tie"]), folder / "r.parquet"
    )
    return folder / "r.parquet"


def csv(path: Path, body: str) -> Path:
    path.write_text(HEADER + body)
    return path


def test_rows_sum_to_one_at_six_decimals_in_the_order_of_the_input(tmp_path: Path) -> None:
    rows: list[list[float] | None] = [[1 / 3] * 3, [0.9999999, 0.0, 1e-7], [2 / 3, 1 / 6, 1 / 6]]
    path = tmp_path / "submission.csv"
    assert write_submission(result(tmp_path, rows, ["007", "b,c", 'q"']), path, SubmissionConfig()) == 3
    submission = read_submission(path)
    assert submission.ids.to_pylist() == ["007", "b,c", 'q"']
    for line in path.read_text().splitlines()[1:]:
        values = line.rsplit(",", 3)[1:]
        assert all(len(value) == 8 for value in values)
        assert sum(int(value.replace(".", "")) for value in values) == 1_000_000
    assert np.abs(submission.probabilities - np.array(rows)).max() < 1e-6


def test_ids_of_several_lines_come_back_from_the_file(tmp_path: Path) -> None:
    ids: list[str | None] = ["a\nb", "c\rd", "e\r\nf", " g ", "NA", "'"]
    write_submission(result(tmp_path, [[1, 0, 0]] * len(ids), ids), tmp_path / "submission.csv", SubmissionConfig())
    assert read_submission(tmp_path / "submission.csv").ids.to_pylist() == ids
    assert pd.read_csv(tmp_path / "submission.csv", keep_default_na=False)["id"].tolist() == ids


def test_an_id_of_two_lines_at_the_border_of_a_block_is_read(tmp_path: Path) -> None:
    body = "".join(f'"{n}\n{"x" * 100}",1,0,0\n' for n in range(20_000))  # 2 MB, in blocks of 1 MiB
    assert len(read_submission(csv(tmp_path / "s.csv", body)).ids) == 20_000


def test_rows_without_ids_are_numbered(tmp_path: Path) -> None:
    write_submission(result(tmp_path, [[1, 0, 0], [0, 1, 0]], [None, None]), tmp_path / "s.csv", SubmissionConfig())
    assert read_submission(tmp_path / "s.csv").ids.to_pylist() == ["0", "1"]


def test_failed_rows(tmp_path: Path) -> None:
    path, out = result(tmp_path, [[0.5, 0.25, 0.25], None], ["x", "y"]), tmp_path / "s.csv"
    with pytest.raises(RunFailed, match=r"merge\.on_failed"):
        write_submission(path, out, SubmissionConfig())
    assert not out.exists()
    write_submission(path, out, SubmissionConfig(on_failed=OnFailed.uniform))
    assert read_submission(out).probabilities[1] == pytest.approx([1 / 3] * 3, abs=1e-6)
    write_submission(path, out, SubmissionConfig(on_failed=OnFailed.prior, prior=[0.2, 0.3, 0.5]))
    prior = read_submission(out)
    assert prior.probabilities[1].tolist() == [0.2, 0.3, 0.5]
    assert prior.probabilities[0].tolist() == [0.5, 0.25, 0.25]


@pytest.mark.parametrize("prior", [None, [0.5, 0.5], [0.5, 0.6, -0.1], [0.2, 0.2, 0.2]])
def test_prior_must_be_a_simplex(prior: list[float] | None) -> None:
    with pytest.raises(ConfigError, match=r"merge\.prior"):
        SubmissionConfig(on_failed=OnFailed.prior, prior=prior)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("a,0.5,0.5,0.1\n", r"row 0 \(id a\).*sum to 1"),
        ("a,1,0,0\nb,1.2,-0.2,0\n", r"row 1 \(id b\).*\[0, 1\]"),
        ("a,1,0,0\na,0,1,0\n", r"row 1 \(id a\).*twice"),
        ("a,1,0,0\nb,x,0,0\n", r"row 1 \(id b\): winner_model_a 'x' is not a number"),
        ("a,1,0,0\nb,0,,1\n", r"row 1 \(id b\): winner_model_b '' is not a number"),
        ("a,nan,0,1\n", r"\[0, 1\]"),
        ("a,1,0\n", "not a CSV"),
    ],
)
def test_broken_rules_name_the_row(tmp_path: Path, body: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_submission(csv(tmp_path / "s.csv", body))


def test_missing_column_and_file(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id,winner_model_a,winner_tie\na,1,0\n")
    with pytest.raises(InputError, match="no column winner_model_b"):
        read_submission(tmp_path / "s.csv")
    with pytest.raises(InputError, match="no such file"):
        read_submission(tmp_path / "none.csv")
    (tmp_path / "s.csv").write_text("id,winner_model_a,winner_tie,winner_model_b,id\na,1,0,0,b\n")
    with pytest.raises(InputError, match="two columns are called 'id'"):
        read_submission(tmp_path / "s.csv")
    (tmp_path / "s.csv").write_bytes("id,名\na,1\n".encode("shift_jis"))
    with pytest.raises(InputError, match="not a CSV file"):
        read_submission(tmp_path / "s.csv")


def test_sample_submission_asks_for_the_same_ids_in_the_same_order(tmp_path: Path) -> None:
    path, out = result(tmp_path, [[1, 0, 0], [0, 1, 0]], ["x", "y"]), tmp_path / "s.csv"
    good = csv(tmp_path / "good.csv", "x,0.3,0.3,0.4\ny,0.3,0.3,0.4\n")
    write_submission(path, out, SubmissionConfig(sample=str(good)))
    swapped = csv(tmp_path / "swapped.csv", "y,0.3,0.3,0.4\nx,0.3,0.3,0.4\n")
    with pytest.raises(InputError, match="row 0: id y, but the submission has x"):
        write_submission(path, out, SubmissionConfig(sample=str(swapped)))
    longer = csv(tmp_path / "longer.csv", "x,0.3,0.3,0.4\ny,0.3,0.3,0.4\nz,1,0,0\n")
    with pytest.raises(InputError, match="3 ids, but the submission has 2"):
        write_submission(path, out, SubmissionConfig(sample=str(longer)))
    with pytest.raises(ConfigError, match=r"merge\.sample"):
        SubmissionConfig(sample=str(tmp_path / "none.csv"))


def test_a_failed_row_that_alone_has_no_id_is_left_out(tmp_path: Path) -> None:
    path = result(tmp_path, [[0.5, 0.25, 0.25], None, [0, 0, 1]], ["x", None, "1"])
    with pytest.raises(RunFailed, match=r"merge\.on_failed"):
        write_submission(path, tmp_path / "s.csv", SubmissionConfig())
    write_submission(path, tmp_path / "s.csv", SubmissionConfig(on_failed=OnFailed.uniform))
    submission = read_submission(tmp_path / "s.csv")
    assert submission.ids.to_pylist() == ["x", "1"]
    assert submission.probabilities.tolist() == [[0.5, 0.25, 0.25], [0, 0, 1]]


def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    rows: list[list[float] | None] = [list(row) for row in rng.dirichlet([1, 1, 1], 50)]
    ids: list[str | None] = [f"id {n}" if n % 7 else f'"{n}", a\nb' for n in range(50)]
    for given, name in ((ids, "named"), ([None] * 50, "numbered")):
        path = result(tmp_path, rows, given)
        write_submission(path, tmp_path / f"{name}.csv", SubmissionConfig())
        with monkeypatch.context() as patch:
            patch.setattr(module, "_BLOCK_ROWS", 7)
            assert write_submission(path, tmp_path / f"{name}-blocks.csv", SubmissionConfig()) == 50
        assert (tmp_path / f"{name}.csv").read_bytes() == (tmp_path / f"{name}-blocks.csv").read_bytes()
        wanted = ids if name == "named" else [str(n) for n in range(50)]
        assert read_submission(tmp_path / f"{name}.csv").ids.to_pylist() == wanted


def test_an_id_that_is_there_twice_is_found_when_ours_is_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row 3 \(id x\): the id is there twice"):
        write_submission(
            result(tmp_path, [[1, 0, 0]] * 4, ["x", "y", "z", "x"]), tmp_path / "s.csv", SubmissionConfig()
        )
