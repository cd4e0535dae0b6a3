"""Answers by content: what was put in is found again, by whoever looks, whatever happens to segments meanwhile."""

import json
import random
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lib.data.joining.key_group import KeyGroup
from lib.errors import StoreError
from lib.store import answer_table, segment
from lib.store.answer_table import AnswerTable, Opened
from lib.store.segment import Segment
from lib.store.upkeep import compact
from tests.store.conftest import SCHEMA, answers_to, found_in, keys_of


def test_a_look_up_is_that_of_a_dictionary(table: AnswerTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "GROUP_ROWS", 5)
    draw, known = random.Random(2), set[int]()
    for _ in range(6):
        numbers = draw.choices(range(200), k=draw.randint(1, 30))
        table.append(answers_to(numbers))
        known |= set(numbers)
        asked = draw.choices(range(250), k=draw.randint(1, 60))
        assert found_in(table, asked) == sorted(number for number in asked if number in known)
    assert found_in(table, []) == []


def test_the_oldest_answer_wins_so_that_runs_agree(table: AnswerTable, monkeypatch: pytest.MonkeyPatch) -> None:
    for when, score in ((2e9, 7.0), (1e9, 5.0), (3e9, 9.0)):
        monkeypatch.setattr(time, "time", lambda when=when: when)
        answers = answers_to([1])
        table.append(answers.set_column(1, "score", pa.array([score])))
    group = KeyGroup(keys_of([1]), np.arange(1))
    ((found, _),) = table.find(group, SCHEMA)
    assert found["score"].to_pylist() == [5.0]


def test_answers_of_other_columns_are_left_out_not_misread(
    table: AnswerTable, caplog: pytest.LogCaptureFixture
) -> None:
    answers = answers_to([1, 2])
    table.append(answers.drop_columns(["texts"]))
    assert found_in(table, [1, 2]) == []
    assert "its column texts is not list" in caplog.text
    table.append(answers_to([2]).set_column(1, "score", pa.array([2.0], pa.float32())))
    assert found_in(table, [1, 2]) == []
    table.append(answers)
    assert found_in(table, [1, 2]) == [1, 2]


def test_a_segment_of_another_question_in_the_folder_answers_nothing(
    table: AnswerTable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = AnswerTable(tmp_path / "other", {**table.question, "engine.seed": 1})
    other.begin()
    other.append(answers_to([1]))
    for path in other.folder.glob("*.parquet"):
        path.rename(table.folder / path.name)
    assert found_in(table, [1]) == []
    assert "another question" in caplog.text


def test_segments_that_are_compacted_between_listing_and_opening_lose_nothing(
    table: AnswerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in range(0, 40, 10):
        table.append(answers_to(range(start, start + 10)))
    found = segment.Segment.groups_with
    compacted = []

    def groups_with(self: Segment, prefixes: object) -> list[int]:
        if not compacted:
            compacted.append(compact(table))
        return found(self, prefixes)  # type: ignore[arg-type]

    monkeypatch.setattr(segment.Segment, "groups_with", groups_with)
    assert found_in(table, range(45)) == list(range(40))
    assert compacted == [(4, 1)]


def test_runs_look_up_and_write_while_others_compact(table: AnswerTable) -> None:
    table.append(answers_to(range(50)))
    ended, problems = threading.Event(), []

    def compacting() -> None:
        while not ended.is_set():
            try:
                compact(table)
            except StoreError as error:
                problems.append(error)  # another compaction was faster: it says so, and changes nothing

    threads = [threading.Thread(target=compacting) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(50, 70):
            table.append(answers_to([number]))
            assert set(found_in(table, range(number + 1))) == set(range(number + 1))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert found_in(table, range(80)) == list(range(70))
    assert all("nothing was changed" in str(problem) for problem in problems)


def test_a_folder_that_holds_another_question_is_refused(table: AnswerTable) -> None:
    path = table.folder / answer_table.QUESTION
    path.write_text(json.dumps({**table.question, "engine.seed": 5}))
    with pytest.raises(StoreError, match="is not the question that the folder is called after; move the folder away"):
        table.begin()
    path.write_text("{")
    with pytest.raises(StoreError, match=r"question.json: cannot be read .*; move the folder away"):
        table.begin()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    table = AnswerTable(tmp_path / "file" / "table", {})
    assert not table.known
    with pytest.raises(StoreError, match=r"store.dir=.*file: cannot be written .*store.dir=null"):
        table.begin()


def test_uses_are_told_in_the_order_of_time_and_damaged_ones_left_out(
    table: AnswerTable, caplog: pytest.LogCaptureFixture
) -> None:
    for rows in (3, 5):
        table.note_use(f"run {rows}", rows, "x.csv", 2 * rows)
    for name, text in {"a": "{", "b": "[]", "c": "{}", "d": '{"time": "noon", "remembered": 1, "distinct": 1}'}.items():
        (table.folder / f"used-{name}.json").write_text(text)
    uses = table.uses()
    assert [(use["run"], use["remembered"], use["distinct"], use["input"]) for use in uses] == [
        ("run 3", 3, 6, "x.csv"),
        ("run 5", 5, 10, "x.csv"),
    ]
    assert caplog.text.count("is left out; delete it") == 4


def test_a_damaged_segment_is_named_once_however_many_rows_are_looked_for(
    table: AnswerTable, caplog: pytest.LogCaptureFixture
) -> None:
    for start in (0, 20, 40):
        table.append(answers_to(range(start, start + 20)))
    first, second, _ = sorted(table.folder.glob("*.parquet"))
    for path, place in ((first, -20), (second, 150)):  # in the footer, and in a page
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)
    opened: Opened = {}
    for _ in range(3):
        group = KeyGroup(keys_of(range(60)), np.arange(60))
        assert sum(len(rows) for _, rows in table.find(group, SCHEMA, opened)) == 20
    assert [caplog.text.count(f"{path}: damaged") for path in (first, second)] == [1, 1]
