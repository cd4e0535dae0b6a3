"""Where two texts differ, word by word; of languages without blanks, character by character."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from unicodedata import category

_WITHOUT_BLANKS = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uff66-\uff9f"
_WORDS = re.compile(rf"[^\W{_WITHOUT_BLANKS}]+|\s+|.", re.DOTALL)
_INVISIBLE = {"Cc", "Cf", "Zl", "Zp", "Zs"}  # Unicode's categories of blanks, controls and marks of direction
_MOST_WORDS = 4000  # of a text: matching takes up to their square
_MOST_CHARACTERS = 100_000
_ALIKE = 0.5  # share of words below which nearly everything would be marked, which tells nothing


@dataclass(frozen=True)
class Piece:
    """A part of a text. changed: whether the other text has not the same there."""

    text: str
    changed: bool = False


@dataclass(frozen=True)
class Compared:
    """Two texts in pieces. remark: why nothing is marked in them, in words; "" where there are marks."""

    one: Sequence[Piece]
    other: Sequence[Piece]
    remark: str = ""


def compared(one: str, other: str) -> Compared:
    """Mark where two texts differ, unless they are too long to be compared here, or have too little in common."""
    whole = Compared([Piece(one)], [Piece(other)])
    if not one or not other:
        return whole
    if one == other:
        return replace(whole, remark="They are the same.")
    if max(len(one), len(other)) > _MOST_CHARACTERS:
        return replace(whole, remark="They are too long for differences to be marked.")
    ours, theirs = _WORDS.findall(one), _WORDS.findall(other)
    if max(len(ours), len(theirs)) > _MOST_WORDS:
        return replace(whole, remark="They are too long for differences to be marked.")
    matcher = SequenceMatcher(None, ours, theirs)
    if matcher.quick_ratio() < _ALIKE or matcher.ratio() < _ALIKE:
        return replace(whole, remark="They differ throughout: no words are marked.")
    left: list[Piece] = []
    right: list[Piece] = []
    for kind, a, b, c, d in matcher.get_opcodes():
        for pieces, words in ((left, ours[a:b]), (right, theirs[c:d])):
            if words:
                text = "".join(words)
                pieces.append(Piece(text, kind != "equal" and _is_visible(text)))
    marked = any(piece.changed for piece in (*left, *right))
    return Compared(left, right, "" if marked else "They differ in blanks or invisible characters alone.")


def _is_visible(text: str) -> bool:
    return any(category(letter) not in _INVISIBLE for letter in text)
