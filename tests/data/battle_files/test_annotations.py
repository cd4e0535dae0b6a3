import json

import numpy as np
import pytest

from lib.data.battle_files.annotations import RatingKind, read_annotations
from lib.errors import ConfigError, InputError


def read(tmp_path, text, name="a.csv", **options):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_annotations(str(tmp_path / name), **options)


def rated(found):
    """(item, annotator) -> rating"""
    rows = zip(found.item, found.annotator, found.category, strict=True)
    return {(found.items[i], found.annotators[a]): found.categories[c] for i, a, c in rows}


LABELS = {("x", "ann"): "A", ("x", "ben"): "tie", ("y", "ann"): "B"}


@pytest.mark.parametrize(
    "text",
    [
        "id,annotator,label\nx,ann,0\nx,ben,2\ny,ann,1\ny,ben,\n",
        "id,judge,winner\nx,ann,model_a\nx,ben,tie (bothbad)\ny,ann,Model_B\n",
        "id,label_ann,label_ben,note\nx,A,tie,hm\ny,b,,\n",
        "id,annotator,winner_model_a,winner_model_b,winner_tie\nx,ann,1,0,0\nx,ben,0,0,1\ny,ann,0,1,0\ny,ben,,,\n",
    ],
)
def test_labels_are_read_in_every_form(tmp_path, text):
    found = read(tmp_path, text)
    assert rated(found) == LABELS
    assert found.kind is RatingKind.labels
    assert list(found.categories) == ["A", "tie", "B"]
    assert not found.by_question


def test_lines_of_json_have_numbers_in_their_order(tmp_path):
    rows = [
        {"id": 7, "annotator": "ann", "label": 10, "question": "q"},
        {"id": 7, "annotator": "ben", "label": 9.5},
        {"id": 8, "annotator": "ann", "label": None, "question": "q"},
        {"id": 8, "annotator": "ben", "label": "2", "question": "q"},
    ]
    found = read(tmp_path, "\n".join(map(json.dumps, rows)), "a.jsonl")
    assert rated(found) == {("7", "ann"): "10", ("7", "ben"): "9.5", ("8", "ben"): "2"}
    assert found.values.tolist() == [2, 9.5, 10]
    assert found.by_question
    assert found.questions[0] == found.questions[1]


def test_what_ratings_are_can_be_said(tmp_path):
    text = "id,label_a,label_b\nx,0,2\ny,1,1\n"
    assert list(read(tmp_path, text).categories) == ["A", "tie", "B"]
    assert list(read(tmp_path, text, ratings=RatingKind.numbers).categories) == ["0", "1", "2"]
    words = read(tmp_path, "id,label_a,label_b\nx,good,bad\n")
    assert (words.kind, list(words.categories)) == (RatingKind.words, ["bad", "good"])


def test_a_judge_is_one_more_annotator_of_battles(tmp_path):
    found = read(tmp_path, "id,label_a,label_b\nx,A,B\ny,B,B\n").joined("judge", {"y": "tie", "z": "A"})
    assert rated(found)["y", "judge"] == "tie"
    assert len(found.item) == 5
    with pytest.raises(InputError, match="judge: has no verdict of an id of the annotations"):
        found.joined("judge", {"w": "A"})
    with pytest.raises(ConfigError, match="annotations: are numbers, but the verdicts of judge are labels of battles"):
        read(tmp_path, "id,label_a,label_b\nx,4,5\n").joined("judge", {"x": "A"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\nx,A\n", r"the columns are id, label; a file of annotations has a row for each rating"),
        ("id,annotator\nx,ann\n", "the columns are id, annotator; a file of annotations"),
        ("id,annotator,label\nx,ann,A\nx,ann,A\n", "row 1: ann has rated x before; one rating counts"),
        ("id,annotator,label\n,ann,A\n", "row 0, column id: is empty; every rating is of an item"),
        ("id,annotator,label\nx,,A\n", "row 0, column annotator: is empty; every rating is somebody's"),
        ("id,annotator,label\nx,ann,\n", "no ratings in it"),
        ("id,label_a,label_b\nx,4,n/a\n", "the rating 'n/a' is none of numbers, as others are; leave it empty"),
        ("id,label_a,label_b\nx,4,nan\n", "the rating 'nan' is none of numbers"),
        ("id,judge,winner_model_a,winner_model_b,winner_tie\nx,a,1,1,0\n", "row 0, column .*do not sum to one"),
        ("id,label_a\n" + "".join(f"{n},{n}\n" for n in range(31)), "31 different ratings; at most 30"),
    ],
)
def test_what_is_no_rating_is_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_ratings_of_another_kind_than_was_said_are_named(tmp_path):
    with pytest.raises(InputError, match="the rating 'good' is none of labels"):
        read(tmp_path, "id,label_a\nx,good\n", ratings=RatingKind.labels)
    np.testing.assert_array_equal(read(tmp_path, "id,label_a\nx,3\n", ratings=RatingKind.words).values, [0])
    (tmp_path / "b.csv").touch()
    with pytest.raises(InputError, match="2 files; give one"):
        read_annotations(str(tmp_path / "*.csv"))
