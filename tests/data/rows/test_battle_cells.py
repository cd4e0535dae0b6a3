from typing import Any

import pytest

from lib.data.rows.base import Canonical
from lib.data.rows.battles import SCHEMA, BattleColumns, BattlesConfig, Turns
from lib.types import BATTLE_TEXTS

FINE = '["fine"]'


def read(cells: dict[str, list[Any]], first_row: int = 0, **config: Any) -> Canonical:
    rows = len(next(iter(cells.values())))
    texts = {name: [FINE] * rows for name in BATTLE_TEXTS}
    return BattlesConfig(path="x", **config).canonical({**texts, **cells}, "x.csv", first_row)


def one(column: str, cell: Any, **config: Any) -> tuple[Any, str | None]:
    result = read({column: [cell]}, **config)
    return result.table[column][0].as_py(), result.table["error"][0].as_py()


@pytest.mark.parametrize(
    ("cell", "turns"),
    [
        ('["one"]', ["one"]),
        ('["one", "two"]', ["one", "two"]),
        ('["one", null]', ["one", None]),
        ("[null]", [None]),
        ('[""]', [""]),
        ('"one"', ["one"]),
        (r'["a \"quoted\" line\nbreak, \/slash"]', ['a "quoted" line\nbreak, /slash']),
        (r'["\ud83d\ude00"]', ["😀"]),
        (["one", None], ["one", None]),  # a list already: JSONL and Parquet
        (["[not JSON]"], ["[not JSON]"]),
    ],
)
def test_turns_as_json(cell: Any, turns: list[str | None]):
    assert one("prompt", cell) == (turns, None)


@pytest.mark.parametrize("cell", ["one", '["one"]', "", "line\nbreak"])
def test_turns_as_text(cell: str):
    assert one("prompt", cell, turns=Turns.text) == ([cell], None)
    assert one("prompt", [cell, None], turns=Turns.text) == ([cell, None], None)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "null (or an empty cell), not a text"),
        ("null", "null (or an empty cell), not a text"),
        ("[]", "an empty list of turns"),
        ([], "an empty list of turns"),
        ("one", "malformed JSON"),
        ('["one"', "malformed JSON"),
        ("[" * 100_000, "malformed JSON"),
        ("7", "a value of type int, not a text or a list of texts"),
        (7, "a value of type int, not a text or a list of texts"),
        ('{"turns": []}', "an object, not a text or a list of texts"),
        ('["one", 2]', "turn 1 is a value of type int, not a text"),
        ([["one"]], "turn 0 is a list, not a text"),
    ],
)
@pytest.mark.parametrize("column", BATTLE_TEXTS)
def test_bad_turns(column: str, cell: Any, reason: str):
    result = read({column: [FINE, cell, FINE]}, first_row=40)
    assert [(bad.row, bad.column) for bad in result.bad] == [(41, column)]
    assert result.bad[0].reason.startswith(reason)
    assert result.table["error"].to_pylist() == [None, f"{column}: {result.bad[0].reason}", None]
    assert result.table[column].to_pylist() == [["fine"], None, ["fine"]]


def test_the_whole_table():
    cells = {
        "id": [7, "b"],
        "model_a": ["m", None],
        "winner_model_a": ["1", "0"],
        "winner_model_b": ["0", "0"],
        "winner_tie": ["0", "1"],
    }
    table = read(cells, first_row=3).table
    assert table.schema == SCHEMA
    assert table.to_pylist() == [
        {
            "file": "x.csv",
            "row": row,
            "id": name,
            **{text: ["fine"] for text in BATTLE_TEXTS},
            "model_a": model,
            "model_b": None,
            "question": "8d12f6b7f002ee5a",  # a hash of the prompt
            "label": label,
            "error": None,
        }
        for row, name, model, label in [(3, "7", "m", "A"), (4, "b", None, "tie")]
    ]


def test_a_row_with_several_bad_cells_names_them_all():
    result = read({"prompt": ["[]"], "response_b": [None]})
    assert result.table["error"][0].as_py() == (
        "prompt: an empty list of turns; response_b: null (or an empty cell), not a text"
    )
    assert len(result.bad) == 2


def test_repaired_cells_are_counted_per_row():
    cells = {"prompt": [FINE, r'["\ud83d", "\ud83d"]'], "response_a": [["\ude00"], "[null]"], "id": ["1", "\ud83d"]}
    result = read(cells)
    assert result.repaired.tolist() == [1, 2]
    assert result.table["prompt"].to_pylist() == [["fine"], ["\ufffd", "\ufffd"]]
    assert result.table["response_a"].to_pylist() == [["\ufffd"], [None]]
    assert result.table["id"].to_pylist() == ["1", "\ufffd"]
    assert result.bad == []


@pytest.mark.parametrize(
    ("cell", "name"), [("a", "a"), ("007", "007"), (7, "7"), (7.0, "7"), (None, None), ("", None), (float("nan"), None)]
)
def test_ids(cell: Any, name: str | None):
    assert one("id", cell) == (name, None)


@pytest.mark.parametrize(
    ("cell", "kind"), [(True, "a truth value"), (7.5, "a value of type float"), ({}, "an object"), ([], "a list")]
)
@pytest.mark.parametrize("column", ["id", "model_a", "model_b"])
def test_bad_names(column: str, cell: Any, kind: str):
    assert one(column, cell) == (None, f"{column}: {kind}, not a text or a whole number")


def winners(*cells: Any) -> tuple[Any, str | None]:
    names = ("winner_model_a", "winner_model_b", "winner_tie")
    result = read({name: [cell] for name, cell in zip(names, cells, strict=True)})
    return result.table["label"][0].as_py(), result.table["error"][0].as_py()


@pytest.mark.parametrize(
    ("cells", "label"),
    [
        (("1", "0", "0"), "A"),
        ((0, 1, 0), "B"),
        ((0.0, 0.0, 1.0), "tie"),
        (("False", "False", "True"), "tie"),
        ((" 1.0", "0.0 ", "0"), "A"),
        ((None, None, None), None),
    ],
)
def test_one_hot_winners(cells: tuple[Any, ...], label: str | None):
    assert winners(*cells) == (label, None)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (("1", "1", "0"), "1/1/0, which do not sum to one"),
        ((0, 0, 0), "0/0/0, which do not sum to one"),
        ((0.5, 0.5, 0), "0.5/0.5/0, not one 1 and two 0"),
        (("1", None, "0"), "1/null/0, not one 1 and two 0"),
        (("2", "-1", "0"), "2/-1/0, not one 1 and two 0"),
        (("yes", "no", "no"), "yes/no/no, not one 1 and two 0"),
    ],
)
def test_winners_that_are_none(cells: tuple[Any, ...], reason: str):
    assert winners(*cells) == (None, f"winner_model_a/winner_model_b/winner_tie: {reason}")


@pytest.mark.parametrize(("cell", "label"), [("1", "A"), (2, "B"), (3.0, "tie"), (None, None)])
def test_label_column(cell: Any, label: str | None):
    columns = BattleColumns(label="gold")
    result = read({"gold": [cell]}, columns=columns, label_values=["1", "2", "3"])
    assert result.table["label"].to_pylist() == [label]
    assert result.bad == []


def test_a_label_that_is_none():
    result = read({"gold": ["1", "4"]}, columns=BattleColumns(label="gold"), label_values=["1", "2", "3"])
    assert result.table["label"].to_pylist() == ["A", None]
    assert result.bad == [(1, "gold", "'4' is none of data.label_values=['1', '2', '3']")]


def test_other_column_names():
    columns = BattleColumns(prompt="q", response_a="first", response_b="second", id="key")
    cells = {"q": ["Q"], "first": ["A"], "second": ["B"], "key": [5]}
    table = BattlesConfig(path="x", columns=columns, turns=Turns.text).canonical(cells, "x", 0).table
    assert [table[name][0].as_py() for name in ("id", *BATTLE_TEXTS)] == ["5", ["Q"], ["A"], ["B"]]
