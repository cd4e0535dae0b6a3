import pyarrow as pa

from lib.data.row_names import row_names


def test_rows_are_numbered_only_where_none_has_an_id() -> None:
    assert row_names(pa.array(["a", "b"]), [0, 1]) == ["a", "b"]
    assert row_names(pa.nulls(2, pa.string()), [3, 4]) == ["3", "4"]
    assert row_names(pa.array(["1", None]), [0, 1]) == ["1", None]  # not "1", which is another row
