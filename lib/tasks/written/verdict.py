"""Reading a verdict out of what a judge wrote."""

import re
import unicodedata
from collections.abc import Sequence

from lib.tasks.prompts.begun import THINK, THOUGHT
from lib.tasks.written.verdict_words import (
    ARTICLE,
    BRACKETS,
    DENIED,
    END,
    JOINED,
    MARK,
    NOT_THAT,
    NOT_THIS,
    OPENED,
    OPENING,
    REASON,
    THAN,
    TURN,
    WEAK_BRACKETS,
    WEAK_MARK,
    WHO,
    chosen,
)


def verdict(text: str, labels: Sequence[str]) -> int | None:
    """The number of the label that an answer ends with; None where it names none, two, or what it denies.

    The answer is what follows the reasoning; one that is still in its reasoning has none. What counts is what stands
    directly behind the last `Verdict:` or `判定：` or in the last `[[…]]`, or where there are none of these, behind the
    last `Answer:`, `Winner:` or in the last `【…】`. The rest of its sentence may deny it, ask for it or name another
    beside it, and the next may take it back ("No, B"): then there is none. Whatever else follows, such as reasons, does
    not count. Without any mark it is the first or last sentence, if that is a label, or the last one, if it chooses one
    in so many words; questions say nothing. Case, wide and narrow letters (NFKC) and decoration (`**Tie**`, `(A)`) make
    no difference, but "a" before a word that goes on with it ("a draw") is no label. A label has neither a letter nor a
    digit (ASCII) beside it, so that "判定はBです" names B and "tied" nothing.
    """
    answer = unicodedata.normalize("NFKC", text.rpartition(THOUGHT)[2])
    if THINK in answer:
        return None
    names = [unicodedata.normalize("NFKC", label) for label in labels]
    for marks, brackets in ((MARK, BRACKETS), (WEAK_MARK, WEAK_BRACKETS)):
        announced = [mark.end() for mark in marks.finditer(answer)]
        bracketed = [found for found in brackets.finditer(answer) if not _set_aside(answer, found)]
        if bracketed and (not announced or announced[-1] <= bracketed[-1].start()):
            return _bracketed(answer, bracketed, names)
        if announced:
            return _behind(answer[announced[-1] :], names)
    return _unmarked(answer, names)


def _set_aside(answer: str, bracket: re.Match[str]) -> bool:
    """Whether what stands directly beside brackets denies what is in them: "(not [[B]])", "[[B]] would be biased"."""
    return bool(NOT_THIS.search(answer[: bracket.start()]) or NOT_THAT.match(answer, bracket.end()))


def _bracketed(answer: str, found: Sequence[re.Match[str]], names: Sequence[str]) -> int | None:
    """The label in the last brackets, unless others stand beside them: "[[A]] or [[B]]"."""
    named = [_whole("".join(filter(None, one.groups())), names) for one in found]
    two = len(found) > 1 and named[-2] not in (None, named[-1])
    if two and JOINED.fullmatch(answer, found[-2].end(), found[-1].start()):
        return None
    return _standing(named[-1], answer[found[-1].end() - 1 :], names)


def _behind(text: str, names: Sequence[str]) -> int | None:
    """The label that a text begins with, or that its first sentence chooses in so many words."""
    text = text.lstrip(OPENING + "、,")
    if first := _begins(text, names):
        return _standing(_number(first[1], names), text[first.end() :], names)
    end = END.search(text)
    sentence = text[: end.start()] if end else text
    return _standing(_chooses(sentence, names), text[len(sentence) :], names)


def _standing(number: int | None, following: str, names: Sequence[str]) -> int | None:
    """A label's number, unless its sentence names another or denies it, or the next takes it back."""
    end = END.search(following)
    said = _without_reasons(following[: end.start()] if end else following, names)
    after = following[end.end() :] if end else ""
    if THAN.match(said) or DENIED.search(said) or _named(said, names) - {number} or (end and "?" in end[0]):
        return None
    if any(TURN.search(part) for part in (*re.split("[,、]", said)[1:], after)):
        return None
    next_sentence = re.split(r"[\n。!?;]|\.(?=\s|$)", after.strip(), maxsplit=1)[0]
    return number if _choice(next_sentence, names) in (None, number) else None


def _begins(text: str, names: Sequence[str]) -> re.Match[str] | None:
    """The label (group 1) that a text begins with, after "Response" or, if it is a word, after "it is a"."""
    words = "|".join(re.escape(name) for name in names if len(name) > 1) or "(?!)"
    surely = r"(?:(?:clearly|definitely|certainly|slightly|narrowly|marginally|overall)\s+)?"
    lead = rf"{surely}(?:(?:it(?:'s|\s+is)\s+)?an?\s{OPENED}(?=(?:{words}))|{WHO})?{OPENED}"
    return re.compile(rf"{lead}({_label(names, begins=True).pattern})", re.IGNORECASE).match(text)


def _whole(text: str, names: Sequence[str]) -> int | None:
    """The label that a text is."""
    text = text.strip(OPENING + ")],.")
    found = _begins(text, names)
    return _number(found[1], names) if found and found.end() == len(text) else _number(text, names)


def _unmarked(answer: str, names: Sequence[str]) -> int | None:
    """The label that the first or the last sentence is, or that the last one chooses in so many words."""
    said = re.sub(r"(?<![^\n。.!?])[^\n。.!?]*\?(?=\s|$)", "", answer)
    sentences = [part for part in re.split(r"[\n。]|[.!](?=\s|$)", said) if re.search(r"\w", part)]
    if not sentences:
        return None
    last = _choice(sentences[-1], names)
    heads = [_whole(sentence, names) for sentence in sentences[:-1]]
    named = {*heads} - {None}
    if len(named) == 1 and not sentences[0].rstrip("*_ ").endswith(":"):  # several are headings
        number = named.pop()
        stands = heads[0] is not None and not TURN.search("\n".join(sentences[1:]))
        return number if last == number or (last is None and stands) else None
    chosen_before = {_chooses(sentence, names) for sentence in sentences[:-1]} - {None}
    return last if chosen_before <= {last} else None


def _choice(sentence: str, names: Sequence[str]) -> int | None:
    """The label that a sentence is, or that it chooses in so many words."""
    whole = _whole(sentence, names)
    return _chooses(sentence, names) if whole is None else whole


def _chooses(sentence: str, names: Sequence[str]) -> int | None:
    """The label that a sentence chooses in so many words."""
    said = _without_reasons(sentence, names)
    found = _named(said, names)
    choice = len(found) == 1 and any(pattern.search(said) for pattern in chosen(_label(names).pattern))
    return found.pop() if choice and not DENIED.search(_label(names).sub("", said)) else None


def _without_reasons(sentence: str, names: Sequence[str]) -> str:
    """A sentence without its "because B is wrong" and "not B", up to a "but"."""
    not_this = rf"(?:^|,|\band\b)[^\w,]*(?:and\s+)?not\s+(?:an?\s+|{WHO})?{OPENED}{_label(names).pattern}"
    why = rf"(?:{REASON}.*?|{not_this}[^,]*)(?=,\s*(?:but|yet|however)\b|$)"
    return re.sub(why, "", sentence, flags=re.IGNORECASE | re.DOTALL)


def _named(text: str, names: Sequence[str]) -> set[int | None]:
    """The labels in a text."""
    return {_number(name, names) for name in _label(names).findall(text)}


def _number(text: str, names: Sequence[str]) -> int | None:
    return next((number for number, name in enumerate(names) if text.casefold() == name.casefold()), None)


def _label(names: Sequence[str], begins: bool = False) -> re.Pattern[str]:
    """Any label, the longest that fits; longer words are no labels, and neither is the article "a".

    begins: whether it begins a sentence, where an article may be a capital.
    """
    word = {"a": rf"(?:a(?!{ARTICLE}))" if begins else rf"(?:(?-i:A)|a(?!{ARTICLE}))"}
    each = [word.get(name.casefold(), re.escape(name)) for name in sorted(names, key=len, reverse=True)]
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(each)})(?!-?[A-Za-z0-9])", re.IGNORECASE)
