import pytest

from lib.errors import InputError
from lib.report.viewer.selection import Flag, Selection, read_query


def test_an_address_says_all_of_a_selection() -> None:
    one = Selection(
        flags=(Flag.wrong, Flag.cut),
        words="a&b=ü 空",
        values={"lang uage": "x=1"},
        order="p_a",
        up=True,
        row=7,
        prompt=True,
    )
    assert read_query(one.query) == one
    assert read_query(one.on(3).query) == one.on(3)
    assert Selection().query == ""


def test_empty_fields_of_a_form_select_nothing() -> None:
    assert read_query("words=&is.model=&order=place&page=") == Selection()


@pytest.mark.parametrize(
    "query",
    [
        "row=-1", "row=x", "page=1e3", "page=%D9%A1", "row=9999999999999", f"words={'x' * 201}",
        "wrnog=1", "wrong=true", "up=0", "is=x", "&".join(["wrong=1"] * 101),
    ],
)  # fmt: skip
def test_what_an_address_cannot_mean_is_refused(query: str) -> None:
    with pytest.raises(InputError):
        read_query(query)
