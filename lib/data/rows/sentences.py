"""Where sentences end, in English and in Japanese text alike.

A few rules in place of a library: pysbd (unchanged since 2021) wants to be told one language for a whole text, and
semchunk fills chunks to a size, whatever sentences are. Where a full stop is doubtful two sentences stay together.
"""

import re
from collections.abc import Iterator

_CLOSING = "\"'”’»)\\]）】〉》」』〕］｝"
_END = re.compile(
    rf"(?P<wide>[。！？｡!?]*[。！？｡][。！？｡!?]*[{_CLOSING}]*)"  # full width: whatever follows
    rf"|(?P<wide_dot>．(?![0-9０-９])[{_CLOSING}]*)"
    rf"|(?P<narrow>[.!?…]*[.!?](?P<closing>[{_CLOSING}]*)(?=\s|$))"
    r"|(?P<blank>\n\s*\n)"
)
_HIRAGANA = re.compile("[ぁ-ゖ]")
_WORD = re.compile(r"[^\s(\[\"'“‘（「]+$")
_NEXT = re.compile(r"\s+[\"'“‘(\[「（]*(\S)")
_LINE_NUMBER = re.compile(r"(^|\n)[ \t]*(\d{1,3}|[A-Za-z])$")  # of a list: "1. First"
_TITLES = frozenset("mr mrs ms mx dr prof rev hon gen col capt lt sgt sen rep gov st mt messrs".split())  # noqa: SIM905
_MONTHS = frozenset("jan feb apr jun jul aug sep sept oct nov dec".split())  # noqa: SIM905
_NEVER_LAST = _TITLES | _MONTHS | {"vs", "cf", "e.g", "i.e", "viz", "approx", "ca"}
_BEFORE_NUMBERS = frozenset(
    ("no", "nos", "fig", "figs", "eq", "eqs", "vol", "pp", "p", "sec", "ch", "art", "tab", "nr")
)
_SHORT = 4  # letters of what may be an abbreviation that we don't know, if the text goes on in lower case


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Character ranges of sentences, in order, with what ends them; blank lines end one, too. White space around."""
    start = 0
    for end in _END.finditer(text):
        if _ends(text, start, end):
            yield start, end.end()
            start = end.end()
    yield start, len(text)


def _ends(text: str, start: int, end: re.Match[str]) -> bool:
    if end["blank"]:
        return True
    if end["narrow"] is None:  # 「はい。」と言う: the sentence goes on behind the quotation
        return not (end[0][-1] in "」』" and _HIRAGANA.match(text, end.end()))
    following = _NEXT.match(text, end.end())
    after = following[1] if following else ""
    if end["closing"] and after.islower():  # "Why?" she asked
        return False
    if not end[0].startswith(".") or after == "":
        return True
    if end[0].startswith(".."):
        return not after.islower()
    before = text[max(start, end.start() - 40) : end.start()]
    if _LINE_NUMBER.search(before if end.start() - start > 40 else "\n" + before):
        return False
    word = _WORD.search(before)
    name = word[0] if word else ""
    if name.lower() in _NEVER_LAST or (len(name) == 1 and name.isupper() and after.isupper() and name != "I"):
        return False
    if name.lower() in _BEFORE_NUMBERS and after.isdigit():
        return False
    return not (after.islower() and (len(name) <= _SHORT or "." in name))
