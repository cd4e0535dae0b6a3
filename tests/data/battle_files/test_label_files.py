from pathlib import Path

import numpy as np
import pytest

from lib.data.battle_files.label_files import read_labels
from lib.errors import InputError

HEADER = "id,winner_model_a,winner_model_b,winner_tie\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "007,1,0,0\nb,0,1,0\nc,0,0,1\n",
        HEADER + "007,1.0,0.0,0.0\nb,0.0,1.0,0.0\nc,False,false,True\n",
        "label,id\n0,007\n1,b\n2,c\n",
        "label,id\n0.0,007\n1.0,b\n2.0,c\n",
        "id,label\n007,A\nb,B\nc,tie\n",
        "id,label\n007,a\nb,b\nc,Tie\n",
        "id,winner\n007,model_a\nb,model_b\nc,tie (bothbad)\n",
        "id,winner\n007,model_a\nb,model_b\nc,both_bad\n",
        'id,prompt,winner,winner_tie,label\n007,"two\nlines",model_a,x,0\nb,,model_b,,1\nc,,tie,,2\n',  # they agree
    ],
)
def test_all_forms_say_the_same(text: str, tmp_path: Path) -> None:
    read = read_labels(write(tmp_path / "l.csv", text))
    assert read.ids.to_pylist() == ["007", "b", "c"]
    assert read.labels.tolist() == [0, 1, 2]
    assert read.groups is None


def test_questions_tell_rows_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", 'id,prompt,label\n1,"a, b",0\n2,c,1\n3,"a, b",2\n')
    groups = read_labels(path, questions=True).groups
    assert groups is not None
    assert (groups[0] == groups[2], groups[0] == groups[1]) == (True, False)
    other = write(tmp_path / "o.csv", 'id,label,prompt\n9,1,x\n8,1,"a, b"\n')
    assert read_labels(other, questions=True).groups[1] == groups[0]  # type: ignore[index]
    assert read_labels(write(tmp_path / "n.csv", "id,label\n1,0\n"), questions=True).groups is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\n1,0\n2,3\n", r"row 1 \(id 2\): label '3' is none of 0, 1, 2, A, B, tie"),
        ("id,label\n1,\n", r"row 0 \(id 1\): label '' is none of .*leave rows without a label out"),
        ("id,winner\n1,nan\n", r"row 0 \(id 1\): winner 'nan' is none"),
        ("id,winner,label\n1,model_a,0\n2,model_a,1\n", r"row 1 \(id 2\): label says B, and winner A; leave one"),
        (HEADER.strip() + ",label\n1,1,0,0,2\n", r"row 0 \(id 1\): winner_model_a/.* says A, and label tie"),
        ("winner,prompt\nmodel_a,x\n", "no column id; it has winner, prompt"),
        ("id,winner_tie\n1,1\n", "no column winner_model_a, winner_model_b; it has"),
        ("id,prompt\n1,x\n", "no labels: give it a column label"),
        (HEADER + "1,nan,0,1\n", "exactly one of"),
        (HEADER + "1,1,1,0\n", "exactly one of"),
        ("id,label\n1,0\n1,0\n", "id 1 is there twice"),
    ],
)
def test_what_is_no_label_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"l\.csv.*" + message):
        read_labels(write(tmp_path / "l.csv", text))


def test_real_labels_of_a_column(shared: Path) -> None:
    read = read_labels(shared / "lmsys_oof" / "oof_predictions.csv")
    assert len(read.ids) == 14_370
    shares = np.bincount(read.labels) / 14_370
    assert -(shares * np.log(shares)).sum() == pytest.approx(1.0972, abs=1e-4)
