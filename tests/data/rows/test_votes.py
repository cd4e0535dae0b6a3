import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.rows.base import OnBadRow
from lib.data.rows.battles import Turns
from lib.data.rows.checking import checked_rows
from lib.data.rows.votes import VoteColumns, VotesConfig, open_votes
from lib.errors import ConfigError, InputError
from tests.data.reading.both_ways import both_ways, same

HEADER = "model_a,model_b,winner\n"


@pytest.fixture
def load(tmp_path: Path):
    """The canonical rows of a text, read in columns and cell by cell alike."""

    def read(text, name="votes.csv", category=None, styled=False, **config):
        path = tmp_path / name
        if isinstance(text, str):
            path.write_text(text)
        else:
            pq.write_table(text, path)
        rows = open_votes(VotesConfig(path=str(path), **config), category=category, styled=styled)
        quick, slow = both_ways(rows, tmp_path)
        assert same(quick, slow)
        return pa.concat_tables(checked_rows(rows))

    return read


def test_common_words_for_winners_need_no_setting(load):
    words = ["model_a", "A", "a", "model_b", "b", "tie", "Draw", "tie (bothbad)", "both_bad", "bothbad"]
    rows = load(HEADER + "".join(f"x,y,{word}\n" for word in words))
    assert rows["outcome"].to_pylist() == ["A"] * 3 + ["B"] * 2 + ["tie"] * 2 + ["both_bad"] * 3
    assert rows["weight"].to_pylist() == [1.0] * 10
    assert rows["question"].null_count == 10
    assert set(rows["model_a"].to_pylist()) == {"x"}


def test_one_hot_winners_are_read_where_there_is_no_other_column(load):
    header = "model_a,model_b,winner_model_a,winner_model_b,winner_tie"
    assert load(header + "\nx,y,1,0,0\nx,y,0,0,1\n")["outcome"].to_pylist() == ["A", "tie"]
    rows = load(header + ",winner\nx,y,1,0,0,model_b\n")
    assert rows["outcome"].to_pylist() == ["B"]


def test_questions_weights_and_categories(load):
    text = "model_a,model_b,winner,question,weight,kind\n"
    text += 'x,y,A,"What, then?\nSay.",2,math\ny,x,A,"What, then?\nSay.",0.5,\nx,y,A,,0,code\n'
    rows = load(text, category="kind")
    first, again, none = rows["question"].to_pylist()
    assert first == again != none
    assert none is None
    assert rows["weight"].to_pylist() == [2, 0.5, 0]
    assert rows["category"].to_pylist() == ["math", None, "code"]


def test_numbers_lists_and_truth_values_of_other_formats(load):
    lines = [
        {"model_a": "x", "model_b": "y", "winner": 0, "question": ["one", "two"], "weight": 1, "code": True},
        {"model_a": "x", "model_b": "y", "winner": 1, "question": ["one", "two"], "weight": 2.5, "code": False},
        {"model_a": "x", "model_b": "y", "winner": 2.0, "question": "one", "weight": "3", "code": None},
    ]
    winners = {"A": ["0"], "B": ["1"], "tie": ["2"], "both_bad": []}
    text = "".join(json.dumps(line) + "\n" for line in lines)
    rows = load(text, "votes.jsonl", category="code", winners=winners)
    assert rows["outcome"].to_pylist() == ["A", "B", "tie"]
    assert rows["weight"].to_pylist() == [1, 2.5, 3]
    assert rows["category"].to_pylist() == ["true", "false", None]
    questions = rows["question"].to_pylist()
    assert questions[0] == questions[1] != questions[2]
    table = pa.table({"model_a": ["x"] * 2, "model_b": ["y"] * 2, "winner": ["a", "b"], "weight": [0.5, 1.5]})
    assert load(table, "votes.parquet")["weight"].to_pylist() == [0.5, 1.5]


def test_the_style_of_answers_is_counted(load):
    marked = "# Title\n\n- one\n- two\n1. three\n\n**bold** and __bold__\n```\n# code\n- code\n```"
    lines = [
        {"model_a": "x", "model_b": "y", "winner": "a", "response_a": marked, "response_b": "日本"},
        {"model_a": "x", "model_b": "y", "winner": "a", "response_a": ["# One", None, "# Two"], "response_b": "2 * 3"},
    ]
    rows = load("".join(json.dumps(line) + "\n" for line in lines), "votes.jsonl", styled=True)
    counts = {name: rows[name].to_pylist() for name in rows.schema.names if name.endswith(("_a", "_b"))}
    assert counts["headers_a"] == [1, 2]
    assert counts["lists_a"] == [3, 0]
    assert counts["bold_a"] == [2, 0]
    assert counts["length_a"] == [len(marked), len("# One\n\n\n\n# Two")]
    assert counts["length_b"] == [2, 5]
    assert counts["headers_b"] == counts["lists_b"] == counts["bold_b"] == [0, 0]
    text = 'model_a,model_b,winner,response_a,response_b\nx,y,A,"[""a\\n# b""]","[""c""]"\n'
    assert load(text, styled=True, turns=Turns.json)["headers_a"].to_pylist() == [1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x,y,left,1", "row 1, column winner: 'left' is none of data.winners (A: A/model_a, "),
        ("x,y,,1", "row 1, column winner: null (or an empty cell), where a winner must be"),
        ("x,x,A,1", "row 1, column model_a/model_b: 'x' on both sides: a vote is between two models"),
        (",y,A,1", "row 1, column model_a: null (or an empty cell), where the name of a model must be"),
        ("x,y,A,-1", "row 1, column weight: -1: a weight must be a finite number that is not negative"),
        ("x,y,A,nan", "row 1, column weight: nan: a weight must be a finite number"),
        ("x,y,A,inf", "row 1, column weight: inf: a weight must be a finite number"),
        ("x,y,A,", "row 1, column weight: null (or an empty cell), where a weight must be"),
        ("x,y,A,much", "row 1, column weight: 'much', where a weight must be"),
    ],
)
def test_what_cannot_be_used_is_refused_by_row(load, row, reason):
    text = f"model_a,model_b,winner,weight\nx,y,A,1\n{row}\ny,z,B,2\n"
    with pytest.raises(InputError) as refused:
        load(text)
    assert reason in str(refused.value)
    assert "data.on_bad_row=record" in str(refused.value)
    rows = load(text, on_bad_row=OnBadRow.record)
    assert [error is None for error in rows["error"].to_pylist()] == [True, False, True]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {}, "column 'winner_model_a' is missing, nor 'winner'; the columns are"),
        ({"winner": "vote"}, {}, "column 'vote' is missing; .*; data.columns.winner=NAME"),
        ({"winner": "who", "question": "asked"}, {}, "column 'asked' is missing; .*; data.columns.question=NAME"),
        ({"winner": "who"}, {"category": "kind"}, "column 'kind' is missing; .*; leaderboard.category=NAME"),
        ({"winner": "who"}, {"styled": True}, "column 'response_a' is missing; .*; data.columns.response_a=NAME"),
    ],
)
def test_missing_columns_are_named(load, columns, options, message):
    with pytest.raises(InputError, match=message):
        load("model_a,model_b,who\nx,y,A\n", columns=VoteColumns(**columns), **options)


@pytest.mark.parametrize("winners", [{"A": ["a"]}, {"A": ["x"], "B": ["X"], "tie": [], "both_bad": []}])
def test_winners_must_be_four_different_things(winners):
    with pytest.raises(ConfigError, match=r"data.winners=.*: must name A, B, tie, both_bad, each with"):
        VotesConfig(winners=winners)
