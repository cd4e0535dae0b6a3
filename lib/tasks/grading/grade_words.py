"""Reading a grade out of what a judge wrote, in English and Japanese."""

import re
import unicodedata
from collections.abc import Iterator

from lib.tasks.grading.scale import Scale
from lib.tasks.prompts.begun import THINK, THOUGHT
from lib.tasks.written.verdict_words import NOT_THIS

_SIGNS = r"[*_`\"'~#<>「」『』()\[\]【】|:\s]{0,20}"  # so many, since several stand side by side in patterns
_BETWEEN = r"\s*(?:[-–—~〜]|to\b|or\b|and\b|か|または|から)\s*"  # of two numbers: a range, or a choice
_FULL = r"(?:(?P<full>\d{1,4})\s*(?:点満点|段階(?:評価)?|点)\s*(?:中|で|のうち|の)[、は]?\s*)?"  # "10点満点中"
_OUT_OF = rf"(?:{_SIGNS}(?:/|\bout\s+of\b|\bof\b)\s*(?P<below>\d+(?:\.\d+)?)(?!\.?\d))?"  # "/10", "out of 10"
_GRADE = re.compile(
    rf"{_FULL}(?<![\d.,])(?P<grade>-?\d+(?:\.\d+)?)(?!\d|\.\d|,\d|\s*%|'s|\s*(?:st|nd|rd|th)\b|{_BETWEEN}\d){_OUT_OF}",
    re.IGNORECASE,
)
_STRONG = re.compile(
    r"\[\[(?P<inside>[^\[\]]*)(?:\]\]?|$)|\\boxed\{(?:\\\w+\{)?(?P<boxed>[^{}]*)\}"
    rf"|\[(?:RESULT|SCORE|RATING|結果|評価|スコア)\]{_SIGNS}",
    re.IGNORECASE,
)
_EMPTY = re.compile(  # of a form to fill in
    r"\W*(?:rating|score|grade|number|評価|点数|スコア|数字|整数)?\W*", re.IGNORECASE
)
_MARK = re.compile(  # "Rating: 8", "**Score (1-10):** 7", "I'd give it a 7", 「評価：4」, 「スコアは4点」
    rf"(?<![A-Za-z])(?:rating|score|grade|mark|result){_SIGNS}(?:\([^()\n]*\)|out\s+of\s+\d+)?{_SIGNS}"
    rf"(?:=|\b(?:is|of|as)\b|:|(?<=[:\s*]))(?:\s*(?:an?|about|around)\b)?{_SIGNS}(?=-?\d)"
    r"|\b(?:rate|give|grade|score|award)[sd]?\b[^.!?\n\d]{0,60}?[\s*_\[(](?=-?\d)"
    rf"|(?:評価|スコア|点数|評点|採点|得点|総合点)(?:結果)?{_SIGNS}(?:\([^()\n]*\))?{_SIGNS}(?:=|は|が|として)?{_SIGNS}(?=\d)",
    re.IGNORECASE,
)
_POINTS = re.compile(r"\s*点(?!満点)")
_BARE = re.compile(rf"{_SIGNS}{_GRADE.pattern}\s*(?:点|points?|stars?)?(?:です|だ|である)?{_SIGNS}[.。]?{_SIGNS}", re.I)

_Candidates = Iterator["re.Match[str] | None"]  # None: of a number that is no grade


def written_grade(text: str, scale: Scale) -> float | None:
    """The grade that an answer ends with; None where it names none, or one that the scale doesn't have.

    The answer is what follows the reasoning; one that is still in its reasoning has none. What counts is the last of
    `[[7]]`, `\\boxed{7}` and `[RESULT] 7`; where there are none of these, the number behind the last mark (`Rating:`,
    `Score (1-10):`, `評価：`, "I'd give it a"); else the last `7/10`, `7 out of 10` or `7点`; else a number that is a
    line of its own, the last one or the first. A range, a percentage, an ordinal, and a number out of another than
    the highest grade are none. Wide digits (NFKC) and decoration make no difference.
    """
    answer = unicodedata.normalize("NFKC", text.rpartition(THOUGHT)[2]).replace("\u2212", "-")
    if THINK in answer:
        return None
    for candidates in (_strong(answer), _marked(answer), _weak(answer, scale), _bare(answer)):
        if found := list(candidates):
            return _value(found[-1], scale)
    return None


def _value(found: re.Match[str] | None, scale: Scale) -> float | None:
    """The grade of a match, unless the scale doesn't have it, or it is out of another scale's highest."""
    if found is None or any(full and float(full) != scale.grades[-1] for full in (found["full"], found["below"])):
        return None
    grade = float(found["grade"])
    return grade if scale.has(grade) else None


def _strong(answer: str) -> _Candidates:
    for found in _STRONG.finditer(answer):
        inside = found["inside"] if found["boxed"] is None else found["boxed"]
        if NOT_THIS.search(answer[: found.start()]) or (inside is not None and _EMPTY.fullmatch(inside)):
            continue
        yield _GRADE.match(answer, found.end()) if inside is None else _only(inside)


def _only(text: str) -> re.Match[str] | None:
    """The number of a text with just one."""
    found = _GRADE.search(text)
    return None if found is None or re.search(r"\d", text[: found.start()] + text[found.end() :]) else found


def _marked(answer: str) -> _Candidates:
    return (_GRADE.match(answer, mark.end()) for mark in _MARK.finditer(answer))


def _weak(answer: str, scale: Scale) -> _Candidates:
    for found in _GRADE.finditer(answer):
        if (found["below"] and float(found["below"]) == scale.grades[-1]) or _POINTS.match(answer, found.end()):
            yield None if re.search(rf"\d{_BETWEEN}$", answer[: found.start()]) else found


def _bare(answer: str) -> _Candidates:
    lines = [line for line in answer.splitlines() if re.search(r"\w", line)]
    numbers = [_BARE.fullmatch(line) for line in (lines[:1] + lines[-1:])]
    return (number for number in numbers if number)
