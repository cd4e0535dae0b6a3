from pathlib import Path

import pytest

from lib.errors import InputError
from lib.report.aggregates.difficulties import read_difficulties


def test_difficulties_are_known_by_id(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\ufeffid,note,instruction_difficulty\n0,easy,-1.5\n1,hard,2\n", encoding="utf-8")
    assert read_difficulties(str(path)) == {"0": -1.5, "1": 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,difficulty\n0,1\n", "no column instruction_difficulty; the columns are"),
        ("", "no column id, instruction_difficulty"),
        ("id,instruction_difficulty\n0,1\n0,2\n", "line 3: id 0 is there twice"),
        ("id,instruction_difficulty\n0,\n", "line 2: instruction_difficulty is '', not a finite number"),
        ("id,instruction_difficulty\n0,nan\n", "line 2: instruction_difficulty is 'nan', not a finite number"),
        ("id,instruction_difficulty\n0\n", "line 2: instruction_difficulty is None, not a finite number"),
    ],
)
def test_other_files_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_difficulties(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: cannot be read as CSV"):
        read_difficulties(str(tmp_path / "none.csv"))
