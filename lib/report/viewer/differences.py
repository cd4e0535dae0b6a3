"""Where two texts differ, word by word; of languages without blanks, character by character."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_WITHOUT_BLANKS = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uff66-\uff9f"
_WORDS = re.compile(rf"[^\W{_WITHOUT_BLANKS}]+|\s+|.", re.DOTALL)
_MOST_WORDS = 4000  # of a text: matching takes up to their square
_ALIKE = 0.5  # share of words below which nearly everything would be marked, which tells nothing


@dataclass(frozen=True)
class Piece:
    """A part of a text. changed: whether the other text has not the same there."""

    text: str
    changed: bool = False


def compared(one: str, other: str) -> tuple[Sequence[Piece], Sequence[Piece]] | None:
    """Both texts in pieces; None where they are empty, too long to be compared here, or have too little in common."""
    if not one or not other:
        return None
    ours, theirs = _WORDS.findall(one), _WORDS.findall(other)
    if max(len(ours), len(theirs)) > _MOST_WORDS:
        return None
    left: list[Piece] = []
    right: list[Piece] = []
    matcher = SequenceMatcher(None, ours, theirs)
    if matcher.quick_ratio() < _ALIKE or matcher.ratio() < _ALIKE:
        return None
    for kind, a, b, c, d in matcher.get_opcodes():
        for pieces, words in ((left, ours[a:b]), (right, theirs[c:d])):
            if words:
                text = "".join(words)
                pieces.append(Piece(text, kind != "equal" and not text.isspace()))
    return left, right
