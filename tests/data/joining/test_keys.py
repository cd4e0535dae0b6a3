"""Keys of rows: equal for equal contents alone."""

import numpy as np
import pyarrow as pa

from lib.data.joining.keys import content_keys, equal_keys

LISTS = [["x", "y"], ["xy"], ["x", None], [None, "x"], None, [], [""], ["", ""], ["1;", "x"], ["日本"], ["日", "本"]]
ROWS = pa.table(
    {
        "texts": pa.array(LISTS, pa.list_(pa.string())),
        "text": pa.array(["p", "p", None, "", "p", "~", "-", "0;", "1;p", "日本", ""]),
    }
)


def test_different_cells_never_have_the_same_key() -> None:
    assert len(set(content_keys(ROWS, ["texts"]).to_pylist())) == len(LISTS)
    shifted = pa.table({"a": pa.array(["ab", "a", "", None, "ab"]), "b": pa.array(["c", "bc", "abc", "abc", ""])})
    assert len(set(content_keys(shifted, ["a", "b"]).to_pylist())) == 5


def test_a_key_is_of_the_cells_alone_not_of_the_place_the_slice_or_the_number_of_rows() -> None:
    keys = content_keys(ROWS, ["texts", "text"])
    assert content_keys(ROWS.slice(3, 5), ["texts", "text"]).equals(keys.slice(3, 5))
    many = pa.concat_tables([ROWS] * 1000)
    assert content_keys(many, ["texts", "text"]).to_pylist() == keys.to_pylist() * 1000


def test_rows_that_ask_nothing_of_their_own_are_equals() -> None:
    table = pa.table({"x": ["a", "b"]})
    assert len(set(content_keys(table, []).to_pylist())) == 1
    assert len(content_keys(table.slice(0, 0), [])) == 0


def test_keys_are_the_same_today_as_when_a_store_was_written() -> None:
    table = pa.table({"prompt": pa.array([["What is 2+2?", None]], pa.list_(pa.string()))})
    assert content_keys(table, ["prompt"])[0].as_py().hex() == "44d63c5fc9e5a3988b8b4daaa25f9a3a"


def test_equals_are_told_apart_by_their_number_and_the_first_keeps_its_key() -> None:
    keys = content_keys(ROWS.take([0, 0, 0, 1]), ["texts"])
    told = equal_keys(keys, np.array([0, 1, 2, 0])).to_pylist()
    assert len(set(told)) == 4
    assert [told[0], told[3]] == [keys[0].as_py(), keys[3].as_py()]
    assert equal_keys(keys.slice(1, 1), np.array([1])).to_pylist() == told[1:2]
