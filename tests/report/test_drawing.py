import pytest

from lib.report.drawing import labels
from lib.report.tables import display_width


@pytest.mark.parametrize(
    "name", ["a name of forty-one columns, x, and so on", "日本語の名前" * 5, "半分だけ half of it, and more of it"]
)
def test_a_long_name_keeps_its_ends(name):
    (shown,) = labels([name])
    head, tail = shown.split("…")
    assert name.startswith(head)
    assert name.endswith(tail)
    assert 29 <= display_width(shown) <= 32


def test_names_that_look_alike_are_numbered_and_others_left_as_they_are():
    long = "an experiment with so many words"
    shown = labels([f"{long} 1 {long}", "short", f"{long} 2 {long}", f"another {long}"])
    assert shown[0].startswith("1: an exp")
    assert shown[1] == "short"
    assert shown[2].startswith("3: an exp")
    assert shown[3].startswith("another an")


def test_a_name_is_one_line_of_characters_that_xml_can_hold():
    assert labels(["a\nb\x00c\ud800d"]) == ["a b c d"]
