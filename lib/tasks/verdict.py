"""Reading a verdict out of what a judge wrote."""

import re
import unicodedata
from collections.abc import Sequence

THINK, THOUGHT = "<think>", "</think>"  # what reasoning models put around their reasoning

_DECORATION = "*_`\"'~#<>【】「」『』\\s"
_OPENING = "*_`\"'~#<>【】「」『』 \t\n:(["
_MARK = re.compile(  # where a verdict is announced: "Verdict:", "**Verdict** is", "Final answer:", "最終判定は"
    rf"(?:\bverdict[{_DECORATION}]*(?::|=|is\b[{_DECORATION}]*:?)|\banswer[{_DECORATION}]*[:=]"
    rf"|(?:判定|結論)[{_DECORATION}]*(?::|=|は))",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"\[\[([^\[\]]*)\]\]|【([^【】]*)】|\\boxed\{([^{}]*)\}")
_WHO = re.compile(
    r"(?:the\s+)?(?:response|assistant|model|option|answer|回答|応答|アシスタント|モデル)\s*",
    re.IGNORECASE,
)
_END = re.compile(r"[\n.。!?;,、]|\s[-–—]\s|\s*[(（]")  # of what is said about the verdict itself
_DENIED = re.compile(
    r"\b(?:not|no(?!\s*[:,])|nor|neither|never|cannot|worse|wrong|loses?|unless)\b|n't\b|では?な|じゃな|ない|ません|以外|劣|悪|誤",
    re.IGNORECASE,
)


def verdict(text: str, labels: Sequence[str]) -> int | None:
    """The number of the label that an answer ends with; None where it names none, two, or what it denies.

    The answer is what follows the reasoning; one that is still in its reasoning has none. What counts is what stands
    directly behind the last `Verdict:`, `Answer:`, `判定：` or in the last `[[…]]`; whatever follows that, such as its
    reasons, does not. Without any of these it is the last sentence, if that names one label alone. Case, wide and
    narrow letters (NFKC) and decoration (`**Tie**`, `(A)`) make no difference, but in a sentence "a" is a word. A label
    has neither a letter nor a digit (ASCII) beside it, so that "判定はBです" names B and "tied" nothing.
    """
    answer = unicodedata.normalize("NFKC", text.rpartition(THOUGHT)[2])
    if THINK in answer:
        return None
    names = [unicodedata.normalize("NFKC", label) for label in labels]
    marks: list[tuple[int, int, str | None]] = [(p.end(), p.start(), None) for p in _MARK.finditer(answer)]
    marks += [(p.start(), p.start(), "".join(filter(None, p.groups()))) for p in _BRACKETS.finditer(answer)]
    if not marks:
        return _sentence(answer, names)
    place, _, inside = max(marks, key=lambda mark: mark[:2])
    return _whole(inside, names) if inside is not None else _behind(answer[place:], names)


def _behind(text: str, names: Sequence[str]) -> int | None:
    """The label that a text begins with, where what is said up to the next stop names no other and denies nothing."""
    text = re.sub(r"^an?\s+(?=\w)", "", text.lstrip(_OPENING + "、,"))  # "a tie"
    text = text[found.end() :].lstrip(_OPENING) if (found := _WHO.match(text)) else text
    first = _label(names, re.IGNORECASE).match(text)
    if first is None:
        return None
    rest = _END.split(text[first.end() :], maxsplit=1)[0]
    if _DENIED.search(rest) or _named(rest, names):
        return None
    return _number(first[0], names)


def _whole(text: str, names: Sequence[str]) -> int | None:
    """The label that a text is."""
    text = text.strip(_OPENING + ")],.")
    text = text[found.end() :] if (found := _WHO.match(text)) else text
    return _number(text, names)


def _sentence(answer: str, names: Sequence[str]) -> int | None:
    """The label that the last sentence names, where it is the only one and nothing is denied."""
    sentences = [part for part in re.split(r"[\n。]|[.!?](?=\s|$)", answer) if re.search(r"\w", part)]
    if not sentences:
        return None
    if (whole := _whole(sentences[-1], names)) is not None:
        return whole
    found = _named(sentences[-1], names)
    beside = _label(names).sub("", sentences[-1])
    return found.pop() if len(found) == 1 and not _DENIED.search(beside) else None


def _named(text: str, names: Sequence[str]) -> set[int | None]:
    """The labels in a text, as they are written: in a sentence "a" is a word."""
    return {_number(name, names) for name in _label(names).findall(text)}


def _number(text: str, names: Sequence[str]) -> int | None:
    return next((number for number, name in enumerate(names) if text.casefold() == name.casefold()), None)


def _label(names: Sequence[str], flags: int = 0) -> re.Pattern[str]:
    """Any label, the longest that fits; longer words are no labels."""
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![A-Za-z0-9])(?:{longest_first})(?![A-Za-z0-9])", flags)
