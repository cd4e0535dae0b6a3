import logging

import numpy as np
import pytest

from lib.data.battle_files.label_files import read_labels
from lib.errors import InputError
from lib.report import predictions
from lib.report.battles import paired_rows
from lib.report.battles.paired_rows import paired
from tests.report.battles.results import write_run, write_submission

P = [[0.5, 0.3, 0.2], None, [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]]
Q = [[0.4, 0.4, 0.2], [0.3, 0.3, 0.4], None, [0.2, 0.7, 0.1]]
IDS = ["w", "x", "y", "z"]


def test_runs_of_the_same_rows_are_read_side_by_side(tmp_path, monkeypatch):
    for module in (paired_rows, predictions):
        monkeypatch.setattr(module, "BLOCK_ROWS", 3)
    one = write_run(tmp_path / "one", P, [0, 1, 2, -1], ids=IDS, questions=["q", "q", "r", "r"])
    other = write_run(tmp_path / "other", Q, [0, 1, 2, -1], ids=IDS, questions=["q", "q", "r", "r"])
    blocks = list(paired(one, other, None))
    assert [len(block.names) for block in blocks] == [3, 1]
    assert np.isnan(blocks[0].first).any(axis=1).tolist() == [False, True, False]
    assert np.isnan(blocks[0].second).any(axis=1).tolist() == [False, False, True]
    assert blocks[1].names.to_pylist() == ["z"]
    assert blocks[0].labels.tolist() == [0, 1, 2]
    assert blocks[0].by_question
    assert blocks[0].questions[0] == blocks[0].questions[1] != blocks[0].questions[2] == blocks[1].questions[0]


def test_rows_without_ids_and_questions_are_told_apart_by_their_places(tmp_path):
    one, other = write_run(tmp_path / "one", P), write_run(tmp_path / "other", Q)
    (block,) = paired(one, other, None)
    assert block.names.to_pylist()[2] == "in.csv, row 2"
    assert len(set(block.questions.tolist())) == 4
    assert not block.by_question
    less = write_run(tmp_path / "less", Q[2:], rows=[2, 3], content="less")
    (block,) = paired(one, less, None)
    assert block.names.to_pylist() == ["in.csv, row 2", "in.csv, row 3"]


def test_other_rows_are_joined_by_id_in_the_order_of_the_first(tmp_path, caplog):
    caplog.set_level(logging.INFO, "overnight")
    one = write_run(tmp_path / "one", P, [0, 1, 2, 1], ids=IDS)
    other = write_run(tmp_path / "other", [Q[3], Q[0], [0.2, 0.2, 0.6]], ids=["z", "w", "v"], content="other")
    (block,) = paired(one, other, None)
    assert block.names.to_pylist() == ["w", "z"]
    np.testing.assert_allclose(block.first, [P[0], P[3]])
    np.testing.assert_allclose(block.second, [Q[0], Q[3]])
    assert block.labels.tolist() == [0, 1]
    assert "rows that only one of them has: 2, 1; the others are compared" in caplog.text


def test_submissions_have_the_labels_of_a_file_or_of_the_run_beside_them(tmp_path):
    run = write_run(tmp_path / "run", P, [0, 1, 2, 1], ids=IDS)
    file = write_submission(tmp_path / "s.csv", ["z", "y"], [Q[3], Q[0]])
    (block,) = paired(file, run, None)
    assert (block.names.to_pylist(), block.labels.tolist()) == (["z", "y"], [1, 2])
    (tmp_path / "l.csv").write_text("id,label,question\nz,tie,q\ny,0,q\n")
    (block,) = paired(file, run, read_labels(tmp_path / "l.csv", questions=True))
    assert block.labels.tolist() == [2, 0]
    assert block.by_question
    assert block.questions[0] == block.questions[1]
    (tmp_path / "l.csv").write_text("id,label\nz,tie\n")
    (block,) = paired(file, run, read_labels(tmp_path / "l.csv", questions=True))
    assert block.labels.tolist() == [2, -1]
    assert not block.by_question


def test_what_cannot_be_paired_is_refused(tmp_path):
    one = write_run(tmp_path / "one", P, [0, 1, 2, 1], ids=IDS)
    far = write_run(tmp_path / "far", Q, ids=["a", "b", "c", "d"], content="far")
    with pytest.raises(
        InputError, match=r"one and .*far have no row in common: rows are paired by their ids .* \['w'\]"
    ):
        list(paired(one, far, None))
    wrong = write_run(tmp_path / "wrong", Q, [0, 1, 0, 1], ids=IDS, content="wrong")
    with pytest.raises(InputError, match="y is labelled tie in the one and A in the other; labels=FILE says which"):
        list(paired(one, wrong, None))
