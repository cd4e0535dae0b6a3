import pyarrow as pa

from lib.data.row_names import name_blocks, row_names


def test_rows_are_numbered_only_where_none_has_an_id() -> None:
    assert row_names(pa.array(["a", "b"]), [0, 1]) == ["a", "b"]
    assert row_names(pa.nulls(2, pa.string()), [3, 4]) == ["3", "4"]
    assert row_names(pa.array(["1", None]), [0, 1]) == ["1", None]  # not "1", which is another row


def test_blocks_are_named_as_the_whole() -> None:
    ids = [pa.array([None, None], pa.string()), pa.array(["a", None])]
    assert [block.to_pylist() for block in name_blocks(lambda: ids)] == [[None, None], ["a", None]]
    assert [block.to_pylist() for block in name_blocks(lambda: [ids[0], ids[0]])] == [["0", "1"], ["2", "3"]]
