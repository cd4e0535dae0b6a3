import pytest

from lib.data.rows.text_repair import repair


@pytest.mark.parametrize("text", ["", "plain", "日本語 😀", "line\nbreak \x00 \ufffd"])
def test_sound_text_is_left_alone(text: str):
    assert repair(text) == (text, 0)


@pytest.mark.parametrize(
    ("text", "repaired", "lone"),
    [
        ("\ud83d", "\ufffd", 1),
        ("a\ud83d b", "a\ufffd b", 1),
        ("\ude00\ud83d", "\ufffd\ufffd", 2),  # the halves in the wrong order
        ("\ud83d\ude00", "😀", 0),
        ("\ud83d\ud83d\ude00\ude00", "\ufffd😀\ufffd", 2),
    ],
)
def test_pairs_are_joined_and_lone_halves_replaced(text: str, repaired: str, lone: int):
    assert repair(text) == (repaired, lone)
    repaired.encode()
