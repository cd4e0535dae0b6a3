import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lib.data.reading.cells import Unreadable
from lib.data.rows.battles import BattleColumns, Turns
from lib.data.rows.conversations import ConversationsConfig
from lib.errors import ConfigError, InputError
from tests.running import Job

USER, MODEL = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}


def read(a: Any, b: Any, **cells: Any) -> dict[str, Any]:
    config = ConversationsConfig(path="x", columns=BattleColumns(id=None))
    table = config.canonical({"conversation_a": [a], "conversation_b": [b], **cells}, "x.jsonl", 0).table
    (row,) = table.to_pylist()
    return row


@pytest.mark.parametrize("name", ["arena_conversations.parquet", "arena_140k_like.parquet", "arena_json_strings.jsonl"])
def test_the_sets_are_read_turn_by_turn(name: str, shared: Path, quick_job: Job, tmp_path: Path) -> None:
    path = shared.parent / "cases" / name
    line = ["data=arena_conversations", f"data.path={path}", "engine=dummy", "executor=inline"]
    done = quick_job("judge", *line, f"run.dir={tmp_path / 'run'}")
    assert "3 of 3 rows taken, without ids; labels: 1 A, 0 B, 2 tie" in done.stderr
    result = pq.read_table(tmp_path / "run" / "result.parquet")
    assert result["label"].to_pylist() == ["A", "tie", "tie"]
    assert [winner == "tie" for winner in result["winner"].to_pylist()] == [False, False, True]  # two kinds of ties


def test_questions_and_answers_of_several_turns() -> None:
    parts = {"role": "assistant", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]}
    row = read([USER, MODEL, USER, parts], json.dumps([USER, MODEL, USER, MODEL]), winner=["model_b"], model_a=["m"])
    assert (row["prompt"], row["response_a"], row["response_b"]) == (["Why?"] * 2, ["So.", "one two"], ["So."] * 2)
    assert (row["label"], row["winner"], row["model_a"], row["error"]) == ("B", "model_b", "m", None)


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        ([], [USER, MODEL], "conversation_a is an empty list"),
        (None, [USER, MODEL], "conversation_a is a value of type NoneType"),
        ("[{", [USER, MODEL], "conversation_a: malformed JSON"),
        ([USER], [USER], "conversation_a ends with a question"),
        ([MODEL, USER], [USER, MODEL], "conversation_a, turn 0: its role is 'assistant' where 'user' is due"),
        ([USER, USER], [USER, MODEL], "conversation_a, turn 1: its role is 'user'"),
        ([USER, MODEL], [USER, "So."], "conversation_b, turn 1: its role is None"),
        ([USER, MODEL], [{"role": "user", "content": "How?"}, MODEL], "different questions"),
        ([USER, MODEL], [USER, {"role": "assistant", "content": None}], "neither a text nor a list of parts"),
        ([USER, MODEL], [USER, {"role": "assistant", "content": [{"type": "image"}]}], "neither a text nor a list"),
    ],
)
def test_what_is_no_battle_is_a_bad_row(a: Any, b: Any, why: str) -> None:
    row = read(a, b)
    assert why in row["error"]
    assert row["prompt"] is row["response_a"] is row["response_b"] is None


def test_winners_and_settings_that_do_not_fit() -> None:
    assert "'both' is none of data.winners" in read([USER, MODEL], [USER, MODEL], winner=["both"])["error"]
    assert read([USER, MODEL], [USER, MODEL], winner=[None])["label"] is None
    with pytest.raises(ConfigError, match=r"data\.winners=.*must name A, B and tie"):
        ConversationsConfig(path="x", winners={"A": ["a"], "B": ["a"], "tie": ["t"]})
    with pytest.raises(ConfigError, match=r"^data\.turns: has no effect"):
        ConversationsConfig(path="x", turns=Turns.text)
    with pytest.raises(ConfigError, match=r"^data\.columns\.prompt: has no effect"):
        ConversationsConfig(path="x", columns=BattleColumns(prompt="question"))
    with pytest.raises(InputError, match="column 'conversation_a' is not there once"):
        ConversationsConfig(path="x").present_columns(["id", "conversation_b"], "x.csv")


def test_winners_that_are_no_plain_texts() -> None:
    row = read([USER, MODEL], [USER, MODEL], winner=["tie\ud83d"])
    assert row["winner"] == "tie\N{REPLACEMENT CHARACTER}"
    assert "is none of data.winners" in row["error"]
    config = ConversationsConfig(path="x", winners={"A": ["1"], "B": ["2"], "tie": ["0"]})
    cells = {"conversation_a": [[USER, MODEL]] * 4, "conversation_b": [[USER, MODEL]] * 4, "winner": [1, 2.0, "0", [1]]}
    table = config.canonical(cells, "x.jsonl", 0).table
    assert table["label"].to_pylist() == ["A", "B", "tie", None]
    assert table["winner"].to_pylist() == ["1", "2", "0", None]
    assert table["error"].to_pylist() == [None, None, None, "winner: a list, not a text or a whole number"]


def test_the_reason_of_what_cannot_be_read_is_kept() -> None:
    row = read([USER, MODEL], Unreadable("not UTF-8 (at byte 3)"))
    assert row["error"] == "conversation_a/conversation_b: not UTF-8 (at byte 3)"
    row = read([USER, MODEL], [USER, MODEL], winner=[Unreadable("not UTF-8")])
    assert row["error"] == "winner: not UTF-8"
