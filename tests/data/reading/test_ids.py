from pathlib import Path

import pyarrow as pa
import pytest

from lib.data.reading import ids as ids_module
from lib.data.reading.ids import IdCheck, Place
from lib.errors import InputError


@pytest.fixture(params=[1 << 20, 4], autouse=True, ids=["in memory", "on disk"])
def _room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids_module, "_IN_MEMORY", request.param)


def check(files: dict[str, list[str | None]]) -> None:
    ids = IdCheck()
    for file, values in files.items():
        for row in range(0, len(values), 2):
            ids.add(pa.array(values[row : row + 2], pa.string()), file, range(row, len(values))[:2])
    everything: list[tuple[str | None, Place]] = [
        (value, (file, row)) for file, values in files.items() for row, value in enumerate(values)
    ]
    ids.finish(everything)


def test_different_ids_are_fine():
    check({"a.csv": ["1", "2", "3"], "b.csv": ["4", "01"]})
    check({})


def test_duplicates_are_named_with_their_places():
    with pytest.raises(InputError, match=r"\(2 of them\), such as '2' \(a.csv row 1, b.csv row 0\), '3'.*b.csv row 3"):
        check({"a.csv": ["1", "2", "3"], "b.csv": ["2", "x", "y", "3"]})


def test_many_duplicates_are_counted_and_few_shown():
    ids: list[str | None] = [str(n) for n in range(3000)]
    with pytest.raises(InputError, match=r"\(3000 of them\)") as error:
        check({"a.csv": ids, "b.csv": ids})
    assert str(error.value).count("b.csv row") == 5


def test_nulls_are_named_with_their_places():
    with pytest.raises(InputError, match=r"^rows without an id: 3, such as a.csv row 1, b.csv row 0, b.csv row 2;"):
        check({"a.csv": ["1", None], "b.csv": [None, "2", None]})


def test_equal_hashes_alone_are_no_duplicates():
    ids = [("1", ("a.csv", 0)), ("2", ("a.csv", 1))]
    suspects = IdCheck()
    suspects.add(pa.array(["1", "1"]), "a.csv", [0, 1])  # as if "1" and "2" had the same hash
    suspects.finish(ids)


def test_hashes_on_disk_leave_nothing_behind(tmp_path: Path) -> None:
    ids = IdCheck(folder=tmp_path)
    ids.add(pa.array([str(n) for n in range(100)]), "a.csv", range(100))
    ids.add(pa.array(["7"]), "b.csv", [0])
    everything: list[tuple[str | None, Place]] = [(str(n), ("a.csv", n)) for n in range(100)]
    with pytest.raises(InputError, match=r"\(1 of them\), such as '7' \(a.csv row 7, b.csv row 0\)"):
        ids.finish([*everything, ("7", ("b.csv", 0))])
    assert not list(tmp_path.iterdir())
