"""Reading a verdict out of what a judge wrote."""

import re
import unicodedata
from collections.abc import Sequence

THINK, THOUGHT = "<think>", "</think>"  # what reasoning models put around their reasoning

_DECORATION = "*_`\"'~#<>【】「」『』\\s"
_OPENING = "*_`\"'~#<>【】「」『』 \t\n:(["
_MARK = re.compile(  # where a verdict is announced: "Verdict:", "**Verdict** is", "最終判定は"
    rf"(?:\bverdict[{_DECORATION}]*(?::|=|is\b[{_DECORATION}]*:?)|(?:判定|結論)[{_DECORATION}]*(?::|=|は))",
    re.IGNORECASE,
)
_WEAK_MARK = re.compile(  # what announces one only where nothing else does: "Final answer:", "The winner is", "勝者は"
    rf"(?:\banswer[{_DECORATION}]*[:=]|\bwinner[{_DECORATION}]*(?::|=|is\b)|勝者[{_DECORATION}]*(?::|=|は))",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"\[\[([^\[\]]*)\]\]|\\boxed\{([^{}]*)\}")
_WEAK_BRACKETS = re.compile(r"【([^【】]*)】")
_JOINED = re.compile(r"\s*(?:\b(?:or|and|vs\.?)\b|[,、/&]|と|か|または)?\s*", re.IGNORECASE)
_NOT_THIS = re.compile(  # directly before brackets: "(not [[B]])", "I can't choose [[A]]"
    r"(?:\b(?:not|nor|neither|never|than|instead of)|n't(?:\s+\w+)?)[\s(\"'*_]*$", re.IGNORECASE
)
_NOT_THAT = re.compile(r"\s*(?:では?な|じゃな|以外|\b(?:would|is(?:n't|\s+not|\s+wrong))\b)", re.IGNORECASE)  # behind
_WHO = re.compile(
    r"(?:the\s+)?(?:response|assistant|model|option|answer|回答|応答|アシスタント|モデル)\s*",
    re.IGNORECASE,
)
_END = re.compile(r"[\n.。!?;:,、]|\s[-–—]\s|\s*[(（]")  # of what is said about the verdict itself
_DENIED = re.compile(
    r"\b(?:not|no(?!\s*[:,])|nor|neither|never|cannot|worse|worst|wrong|incorrect|inferior|weaker|fail\w*"
    r"|lacks?|poor\w*|loses?|lost|unless)\b|n't\b|では?な|じゃな|ない|ません|以外|劣|悪|誤|負け|間違|不正確|弱",
    re.IGNORECASE,
)


def verdict(text: str, labels: Sequence[str]) -> int | None:
    """The number of the label that an answer ends with; None where it names none, two, or what it denies.

    The answer is what follows the reasoning; one that is still in its reasoning has none. What counts is what stands
    directly behind the last `Verdict:` or `判定：` or in the last `[[…]]`, or where there are none of these, behind the
    last `Answer:`, `Winner:` or in the last `【…】`; whatever follows that, such as its reasons, does not. Without any
    mark it is the first or last sentence, if that is a label, or the last one, if it chooses one in so many words;
    questions say nothing. Case, wide and narrow letters (NFKC) and decoration (`**Tie**`, `(A)`) make no difference,
    but in a sentence "a" is a word. A label has neither a letter nor a digit (ASCII) beside it, so that "判定はBです"
    names B and "tied" nothing.
    """
    answer = unicodedata.normalize("NFKC", text.rpartition(THOUGHT)[2])
    if THINK in answer:
        return None
    names = [unicodedata.normalize("NFKC", label) for label in labels]
    for marks, brackets in ((_MARK, _BRACKETS), (_WEAK_MARK, _WEAK_BRACKETS)):
        announced = [mark.end() for mark in marks.finditer(answer)]
        bracketed = [found for found in brackets.finditer(answer) if not _set_aside(answer, found)]
        if bracketed and (not announced or announced[-1] <= bracketed[-1].start()):
            return _bracketed(answer, bracketed, names)
        if announced:
            return _behind(answer[announced[-1] :], names)
    return _unmarked(answer, names)


def _set_aside(answer: str, bracket: re.Match[str]) -> bool:
    """Whether what stands directly beside brackets denies what is in them: "(not [[B]])", "[[B]] would be biased"."""
    return bool(_NOT_THIS.search(answer[: bracket.start()]) or _NOT_THAT.match(answer, bracket.end()))


def _bracketed(answer: str, found: Sequence[re.Match[str]], names: Sequence[str]) -> int | None:
    """The label in the last brackets, unless others stand beside them: "[[A]] or [[B]]"."""
    named = [_whole("".join(filter(None, one.groups())), names) for one in found]
    two = len(found) > 1 and named[-2] not in (None, named[-1])
    if two and _JOINED.fullmatch(answer, found[-2].end(), found[-1].start()):
        return None
    return named[-1]


def _behind(text: str, names: Sequence[str]) -> int | None:
    """The label that a text begins with, where what is said up to the next stop names no other and denies nothing."""
    text = text.lstrip(_OPENING + "、,")
    if (article := re.match(r"an?\s+", text, re.IGNORECASE)) and (words := [name for name in names if len(name) > 1]):
        text = text[article.end() :] if _label(words, re.IGNORECASE).match(text, article.end()) else text  # "a tie"
    text = text[found.end() :].lstrip(_OPENING) if (found := _WHO.match(text)) else text
    first = _label(names, re.IGNORECASE).match(text)
    if first is None:
        return None
    following = text[first.end() :].lstrip("*_`\"'~#<>])")
    if (joined := _JOINED.match(following)) and joined[0].strip():  # "A, B"
        following = following[joined.end() :].lstrip(_OPENING)
        following = following[found.end() :] if (found := _WHO.match(following)) else following
        if _label(names).match(following):
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


def _unmarked(answer: str, names: Sequence[str]) -> int | None:
    """The label that the first or the last sentence is, or that the last one chooses in so many words."""
    said = re.sub(r"[^\n。.!?]*\?(?=\s|$)", "", answer)
    sentences = [part for part in re.split(r"[\n。]|[.!](?=\s|$)", said) if re.search(r"\w", part)]
    if not sentences:
        return None
    first, last = _whole(sentences[0], names), _whole(sentences[-1], names)
    if first is not None or last is not None:
        return last if first is None or first == last else first if last is None else None
    found = _named(sentences[-1], names)
    beside = _label(names).sub("", sentences[-1])
    chosen = any(pattern.search(sentences[-1]) for pattern in _chosen(names))
    return found.pop() if chosen and len(found) == 1 and not _DENIED.search(beside) else None


def _chosen(names: Sequence[str]) -> list[re.Pattern[str]]:
    """How a sentence chooses a label: "The better one is Response A", "Overall, A wins", 「Aの方が良い」."""
    label, who = _label(names).pattern, rf"(?:the\s+|an?\s+)?(?i:{_WHO.pattern})?[{re.escape(_OPENING)}]*"
    return [
        re.compile(
            r"(?:\b(?:is|are|choose|prefer|pick|select|favou?r|grade|go with|vote for)\b|[:=])\s*"
            rf"{who}{label}[{_DECORATION})\].,]*$"
        ),
        re.compile(
            rf"(?:^|,)\s*(?:(?i:so|thus|hence|overall|therefore|clearly|in sum)\s+)?{who}{label}[{_DECORATION})\]]*\s+"
            r"(?:(?:is|was)\s+(?:(?:clearly|slightly|much|far|overall|the)\s+)*"
            r"(?:better|best|superior|stronger|preferable|preferred|winner)\b|wins\b)"
        ),
        re.compile(
            rf"{label}[{_DECORATION}]*(?:の?(?:方|ほう)が|が|を|の)(?:より|最も)?(?:良|よい|優|正確|選|勝|好まし)"
        ),
        re.compile(rf"{label}[{_DECORATION}]*(?:です|だ|である)$"),
    ]


def _named(text: str, names: Sequence[str]) -> set[int | None]:
    """The labels in a text, as they are written: in a sentence "a" is a word."""
    return {_number(name, names) for name in _label(names).findall(text)}


def _number(text: str, names: Sequence[str]) -> int | None:
    return next((number for number, name in enumerate(names) if text.casefold() == name.casefold()), None)


def _label(names: Sequence[str], flags: int = 0) -> re.Pattern[str]:
    """Any label, the longest that fits; longer words are no labels."""
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![A-Za-z0-9])(?:{longest_first})(?![A-Za-z0-9])", flags)
