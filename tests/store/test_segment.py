"""Segments: sorted, looked up by row group, and never believed where they are damaged."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.joining.keys import KEY
from lib.store import segment as module
from lib.store.answer_table import AnswerTable
from lib.store.segment import open_segment, read_group, sorted_by_key, sorted_prefixes, write_segment
from tests.store.conftest import answers_to, found_in, keys_of

FLIPS = 250


def written(table: AnswerTable, numbers: range | list[int], created: float = 1e9) -> Path:
    answers = sorted_by_key(answers_to(numbers))
    return write_segment([answers], answers.schema, table.folder, table.hash, created)


def test_rows_are_sorted_by_key_and_the_first_of_equals_stays() -> None:
    twice = pa.concat_tables([answers_to([5, 1, 5]), answers_to([1, 2])])
    twice = twice.set_column(1, "score", pa.array([0.0, 1, 2, 3, 4]))
    found = sorted_by_key(twice)
    assert found[KEY].to_pylist() == sorted(set(keys_of([1, 2, 5]).to_pylist()))
    scores = dict(zip(found[KEY].to_pylist(), found["score"].to_pylist(), strict=True))
    assert [scores[key.as_py()] for key in keys_of([5, 1, 2])] == [0, 1, 4]
    assert sorted_by_key(twice.slice(0, 0)).num_rows == 0


def test_prefixes_are_in_their_order_whatever_the_slice() -> None:
    keys = keys_of(range(50))
    wanted = sorted(int.from_bytes(key[:8], "big") for key in keys.to_pylist()[7:40])
    assert sorted_prefixes(keys.slice(7, 33)).tolist() == wanted
    assert len(sorted_prefixes(keys.slice(0, 0))) == 0


def test_only_row_groups_that_may_have_a_key_are_read(table: AnswerTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP_ROWS", 10)
    segment = open_segment(written(table, range(100)), table.hash)
    assert segment.rows == 100
    assert segment.metadata.num_row_groups == 10
    with segment.opened() as file:
        groups = [read_group(file, number, [KEY])[KEY].to_pylist() for number in range(10)]
    for number in range(100):
        (key,) = keys_of([number]).to_pylist()
        assert segment.groups_with(sorted_prefixes(keys_of([number]))) == [
            place for place, keys in enumerate(groups) if key in keys
        ]
    assert segment.groups_with(np.empty(0, np.uint64)) == []
    assert segment.groups_with(np.array([0, 2**64 - 1], np.uint64)) == []
    assert segment.groups_between(0, 1 << 64) == list(range(10))
    assert segment.groups_between(0, 1) == []


def test_a_segment_of_another_question_is_refused(table: AnswerTable) -> None:
    path = written(table, range(3))
    with pytest.raises(pa.ArrowInvalid, match="another question"):
        open_segment(path, "0" * 64)


@pytest.mark.parametrize("group_rows", [8192, 8])
def test_a_bit_that_flips_anywhere_makes_no_answer_wrong(
    table: AnswerTable, group_rows: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "GROUP_ROWS", group_rows)
    path = written(table, range(40))
    sound = path.read_bytes()
    draw, left_out = random.Random(1), 0
    for place in draw.sample(range(len(sound)), min(FLIPS, len(sound))):
        content = bytearray(sound)
        content[place] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        caplog.clear()
        found = found_in(table, range(50))
        assert set(found) <= set(range(40)), place
        if len(found) < 40:
            left_out += 1
            assert f"{path}: damaged" in caplog.text, place
    assert left_out > FLIPS / 4


def test_a_segment_that_is_cut_off_or_no_parquet_is_named(table: AnswerTable, caplog: pytest.LogCaptureFixture) -> None:
    path = written(table, range(9))
    content = path.read_bytes()
    for short in (content[: len(content) // 2], content[:-1], b"PAR1", b"", b"not at all"):
        path.write_bytes(short)
        caplog.clear()
        assert found_in(table, range(9)) == []
        assert f"{path}: damaged" in caplog.text


def test_a_footer_that_another_program_wrote_is_left_out(table: AnswerTable, caplog: pytest.LogCaptureFixture) -> None:
    path = written(table, range(9))
    pq.write_table(pq.read_table(path).replace_schema_metadata(pq.read_metadata(path).metadata), path)
    assert found_in(table, range(9)) == []
    assert "its footer is not the one that was written" in caplog.text
