import math

import pytest

from lib.report.viewer.details import blocks_of, short, side_by_side
from lib.report.viewer.differences import compared


def marked(pieces: object) -> list[str]:
    return [piece.text for piece in pieces if piece.changed]  # type: ignore[attr-defined]


def test_words_that_differ_are_marked_and_nothing_is_lost() -> None:
    found = compared("the sky is  blue.", "the sea is blue!")
    assert found.remark == ""
    assert marked(found.one) == ["sky", "."]
    assert marked(found.other) == ["sea", "!"]
    assert "".join(piece.text for piece in found.one) == "the sky is  blue."


def test_japanese_is_compared_by_characters() -> None:
    assert marked(compared("空は青い", "空は赤い").one) == ["青"]


@pytest.mark.parametrize(
    ("one", "other", "remark"),
    [
        ("the sky is blue", "nobody knows what lies below", "They differ throughout: no words are marked."),
        ("x " * 4000, "y", "They are too long for differences to be marked."),
        ("x" * 100_001, "x", "They are too long for differences to be marked."),
        ("the sky", "the sky", "They are the same."),
        ("a b " * 400, "a b " * 400, "They are the same."),
        ("the  sky\n", "the sky", "They differ in blanks or invisible characters alone."),
        ("the sky\u200b\u202e", "the sky\x07", "They differ in blanks or invisible characters alone."),
        ("the sky", "", ""),
    ],
)
def test_texts_without_marks_say_why(one: str, other: str, remark: str) -> None:
    found = compared(one, other)
    assert found.remark == remark
    assert marked([*found.one, *found.other]) == []
    (_, responses) = blocks_of({}, {"prompt": ["Why?"], "response_a": [one], "response_b": [other]})
    assert responses.lines == ([remark] if remark else [])
    assert side_by_side({"text": one}, {"text": other}, ("1", "2")).lines == responses.lines


def test_a_carried_column_that_is_input_as_well_is_shown_once() -> None:
    (shown, rest) = blocks_of({"question": "Why?", "model": "m"}, {"slot.question": ["Why?"]})
    assert [text.title for text in shown.texts] == ["question"]
    assert rest.table is not None
    assert rest.table.rows == [("model", "m")]


def test_the_answers_of_every_kind_have_their_block() -> None:
    passages = {
        "passages": ["first", "second"], "passage_ids": ["p", "q"], "scores": [0.5, 0.25], "documents": ["d", None],
        "starts": [10, None], "stops": [1200, None], "retrieved_ranks": [3, 1],
    }  # fmt: skip
    (found, rest) = blocks_of({"id": "0", **passages, "tokens": 5}, {})
    assert [text.title for text in found.texts] == ["1. score 0.5 · before at 3 · d · characters 10 to 1,200",
                                                    "2. score 0.25 · before at 1 · q"]  # fmt: skip
    assert rest.table is not None
    assert rest.table.rows == [("tokens", "5")]
    (samples,) = blocks_of({"texts": ["[[A]]", "?"], "verdicts": ["A", None]}, {})
    assert [text.title for text in samples.texts] == ["sample 1 · verdict A", "sample 2 · verdict –"]
    (cut, answer) = blocks_of({"text": "yes", "finish_reason": "length", "cut": 12}, {})
    assert cut.lines == ["cut: 12 tokens were cut"]
    assert answer.texts[0].title == "text · ended by length"


def test_columns_of_another_kind_than_ours_of_that_name_are_shown_as_they_are() -> None:
    cells = {"p_a": 0.1, "p_b": 0.2, "p_tie": 0.7, "label_mass": "heavy", "cut_prompt": "left", "passages": "one",
             "starts": ["early"], "stops": ["late"], "scores": "high"}  # fmt: skip
    (probabilities, passages, rest) = blocks_of(cells, {})
    assert probabilities.lines == []
    assert [text.title for text in passages.texts] == ["1."]
    assert rest.table is not None
    assert rest.table.rows == [("label_mass", "heavy"), ("cut_prompt", "left")]


def test_a_cell_is_short_whatever_it_holds() -> None:
    assert short([0.0] * 384) == "0, 0, 0, 0, 0, 0, 0, 0, … (384 numbers, length 0)"
    assert short(math.nan) == "nan"
    assert short(None) == "–"
    assert short(b"abc") == "3 bytes"
    assert short({"a": [1, None]}) == '{"a": [1, null]}'


def test_two_runs_stand_beside_each_other() -> None:
    block = side_by_side({"text": "a b", "error": None}, {"text": "a c", "error": "no"}, ("one", "other"))
    assert [marked(text.pieces) for text in block.texts] == [["b"], ["c"]]
    assert block.table is not None
    assert block.table.rows == [("error", "–", "no")]


def test_all_that_one_of_two_runs_has_is_shown() -> None:
    block = side_by_side({"texts": ["a b", "c d", "e f"]}, {"texts": ["a b", "x y"]}, ("one", "other"))
    assert ["".join(piece.text for piece in text.pieces) for text in block.texts] == [
        "a b", "a b", "c d", "x y", "e f", "",
    ]  # fmt: skip
    assert block.lines == ["1. They are the same.", "2. They differ throughout: no words are marked."]
