from pathlib import Path

import pyarrow as pa
import pytest

from lib.errors import InputError
from lib.report.viewer.pairing import other_of, pair_with
from lib.report.viewer.row_files import find_rows
from lib.report.viewer.row_index import RowIndex, open_index
from lib.report.viewer.selection import Flag
from tests.report.viewer.small_runs import battles, index_of, numbers, write_run


def both(one: Path, other: Path) -> tuple[RowIndex, str]:
    index = open_index(find_rows(one), beside=[other])
    return index, pair_with(index, index_of(other))


def test_runs_of_one_input_are_matched_by_place(tmp_path: Path) -> None:
    columns, inputs = battles()
    one = write_run(tmp_path / "one", columns, inputs, job="judge")
    verdicts = ["B" if n in (2, 5) else verdict for n, verdict in enumerate(columns["verdict"].to_pylist())]
    moved = pa.array([None if p.as_py() is None else p.as_py() - 0.1 for p in columns["p_a"]], pa.float64())
    other = write_run(tmp_path / "other", {**columns, "verdict": verdicts, "p_a": moved}, inputs, job="judge")
    index, said = both(one, other)
    assert said.startswith("verdict: 2 of 12 rows differ (matched by their places")
    assert numbers(index, "differs=1") == [2, 5]
    assert numbers(index, "order=farthest")[-1] == 7  # it failed
    assert other_of(index, 5) == 5


def test_runs_of_other_inputs_are_matched_by_id(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", {"text": ["a", "b", "c"]})
    other = write_run(tmp_path / "other", {"text": ["c", "B"], "id": ["id2", "id1"]}, content="1" * 64)
    index, said = both(one, other)
    assert "1 of 2 rows differ (matched by their ids); 1 are in this run only" in said
    assert index.counts[Flag.alone] == 1
    assert numbers(index, "alone=1") == [0]
    assert numbers(index, "differs=1") == [1]
    assert [other_of(index, n) for n in range(3)] == [None, 1, 0]


def test_ids_are_compared_as_texts_and_columns_of_another_kind_are_no_distance(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", {"verdict": ["A", "B"], "id": ["1", "01"], "p_a": [0.5, 0.5]})
    columns = {"verdict": ["A", "A"], "id": ["01", "1"], "p_a": ["half", "half"]}
    index, said = both(one, write_run(tmp_path / "other", columns, content="1" * 64))
    assert "1 of 2 rows differ (matched by their ids); 0 are in this run only" in said
    assert numbers(index, "differs=1") == [1]
    assert [other_of(index, n) for n in range(2)] == [1, 0]


def test_vectors_are_compared_and_not_the_texts_that_they_are_of(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", {"text": ["a", "b"], "vector": [[0.0, 1.0], [1.0, 0.0]]})
    other = write_run(tmp_path / "other", {"text": ["a", "b"], "vector": [[0.0, 1.0], [0.5, 0.5]]})
    index, said = both(one, other)
    assert said.startswith("vector: 1 of 2 rows differ")
    assert numbers(index, "differs=1") == [1]


def test_runs_without_anything_in_common_are_refused(tmp_path: Path) -> None:
    texts = write_run(tmp_path / "texts", {"text": ["a"]})
    with pytest.raises(InputError, match="no answers of a kind"):
        both(texts, write_run(tmp_path / "judge", *battles(), job="judge"))
    nameless = write_run(tmp_path / "nameless", {"text": ["a"], "id": pa.nulls(1, pa.string())}, content="1" * 64)
    with pytest.raises(InputError, match="can't be matched"):
        both(texts, nameless)
    strangers = write_run(tmp_path / "strangers", {"text": ["a"], "id": ["of another file"]}, content="2" * 64)
    with pytest.raises(InputError, match="no row is in both"):
        both(texts, strangers)
