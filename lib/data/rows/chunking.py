"""Cuts a document into chunks: by sentence, delimiter or paragraph, to a budget. Every chunk says where it stood."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from lib.config import require_unset
from lib.data.rows.sentences import sentences
from lib.errors import ConfigError

Spans = Callable[[str], Sequence[tuple[int, int]]]
"""A tokenizer's `spans`: the character range [start, end) of each token of a text."""

_BLANK_LINES = re.compile(r"\n\s*\n")
_LINE_BREAK = re.compile(r"[\r\n]")


class ChunkBy(Enum):
    """Where a document is cut: nowhere, behind each sentence (of English or Japanese) or delimiter, at blank lines."""

    none = "none"
    sentence = "sentence"
    delimiter = "delimiter"
    paragraph = "paragraph"


@dataclass(frozen=True, kw_only=True)
class ChunkConfig:
    """How documents are cut.

    delimiter: ends a chunk where by=delimiter. keep_delimiter: whether it belongs to the chunk that it ends.
    max_characters, max_tokens: longer chunks are cut further, whatever `by` says; tokens of the bare text, without
    special ones.
    """

    by: ChunkBy = ChunkBy.sentence
    delimiter: str = "。"
    keep_delimiter: bool = False
    max_characters: int | None = 500
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if not self.delimiter:
            raise ConfigError("chunk.delimiter='': must be some text; chunk.by=none does not cut at all")
        if self.by is not ChunkBy.delimiter:
            why = f"with chunk.by={self.by.value}, which looks for none; chunk.by=delimiter cuts there"
            require_unset("chunk", self, why, ("by", "max_characters", "max_tokens"))
        if self.max_characters is not None and self.max_characters < 1:
            raise ConfigError(f"chunk.max_characters={self.max_characters}: must be at least 1, or null")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigError(f"chunk.max_tokens={self.max_tokens}: must be at least 1 token, or null")


@dataclass(frozen=True)
class Chunk:
    """A piece of a document. start, stop: characters [start, stop) of the document that it was cut from."""

    text: str
    start: int
    stop: int


def chunks(document: str, config: ChunkConfig, spans: Spans | None = None) -> list[Chunk]:
    """The chunks of a document, in its order, without white space around them; empty ones are left out.

    A chunk's text is document[start:stop]; of a paragraph, with a space for each character that breaks a line. (The
    source notebook counts the empty text behind the last 「。」 as one more sentence: 306 for 305, 350 for 349.)
    spans: of the tokenizer that counts max_tokens; needed with it.
    """
    assert spans is not None or config.max_tokens is None
    found = []
    for start, stop in _ranges(document, config):
        start, stop = _stripped(document, start, stop)
        text = document[start:stop]
        if config.by is ChunkBy.paragraph:
            text = _LINE_BREAK.sub(" ", text)
        for first, last in _bounded(text, config.max_characters or len(text)):
            piece, place = text[first:last], start + first
            fitting = [(0, len(piece))]
            if spans is not None and config.max_tokens is not None:
                fitting = _fitting(piece, config.max_tokens, spans)
            found += [Chunk(piece[low:high], place + low, place + high) for low, high in fitting]
    return found


def occurs(document: str, config: ChunkConfig) -> bool:
    """Whether there is what a document is to be cut at; where that is sentences, or nothing, there always is."""
    if config.by is ChunkBy.delimiter:
        return config.delimiter in document
    return config.by is not ChunkBy.paragraph or bool(_BLANK_LINES.search(document))


def _ranges(document: str, config: ChunkConfig) -> Iterator[tuple[int, int]]:
    """What lies between the cuts, as character ranges; white space and nothing among them."""
    if config.by is ChunkBy.none:
        yield 0, len(document)
        return
    if config.by is ChunkBy.sentence:
        yield from sentences(document)
        return
    delimiter = _BLANK_LINES if config.by is ChunkBy.paragraph else re.compile(re.escape(config.delimiter))
    kept = config.keep_delimiter and config.by is ChunkBy.delimiter
    start = 0
    for cut in delimiter.finditer(document):
        yield start, cut.end() if kept else cut.start()
        start = cut.end()
    yield start, len(document)


def _stripped(text: str, first: int, last: int) -> tuple[int, int]:
    """The range without the white space at its ends."""
    piece = text[first:last].rstrip()
    return first + len(piece) - len(piece.lstrip()), first + len(piece)


def _bounded(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Character ranges of at most `most` each, which leave out nothing but white space; cut as in `_fitting`."""
    start = 0
    while start < len(text):
        stop = len(text)
        if stop - start > most:
            places = range(start + most // 2 + 1, start + most + 1)
            stop = max(places, key=lambda place: (_rank(text, place), place))
        low, high = _stripped(text, start, stop)
        if low < high:
            yield low, high
        start = stop


def _fitting(text: str, most: int, spans: Spans) -> list[tuple[int, int]]:
    """Character ranges of at most `most` tokens each, which leave out nothing but white space.

    They are cut between tokens, as late as possible in the second half of what fits: at the end of a sentence, or
    else at white space or a comma, or else anywhere. A piece is tokenised again by itself, which can give more tokens
    than it had inside the text: it is then cut earlier. What has no border inside, such as one character of several
    byte tokens, stays whole.
    """
    tokens = spans(text)
    end = len(tokens)
    if end <= most:
        return [(0, len(text))] if text else []
    # Where each token may begin a piece; tokens that share a character have no border between them.
    borders = {number: b for number, ((_, a), (b, _)) in enumerate(pairwise(tokens), 1) if b >= a} | {end: len(text)}
    found, first, start = [], 0, 0
    while first < end:
        cut = next(number for number in range(first + 1, end + 1) if number in borders)
        possible = [number for number in range(cut, min(first + most, end) + 1) if number in borders]
        while possible:
            cut = end if possible[-1] == end else _best(text, borders, first + most // 2, possible)
            low, high = _stripped(text, start, borders[cut])
            if len(spans(text[low:high])) <= most:
                break
            possible = [number for number in possible if number < cut]
        found.append(_stripped(text, start, borders[cut]))
        first, start = cut, borders[cut]
    return [(low, high) for low, high in found if low < high]


def _best(text: str, borders: Mapping[int, int], half: int, possible: Sequence[int]) -> int:
    """Of token numbers, in order: the last of the highest rank behind `half`, or else the last."""
    late = [number for number in possible if number > half] or possible[-1:]
    return max(late, key=lambda number: (_rank(text, borders[number]), number))


def _rank(text: str, place: int) -> int:
    """2 behind the end of a sentence, 1 at white space or behind a comma, 0 inside a word."""
    before = text[max(place - 2, 0) : place]
    gap = before[-1:].isspace() or text[place : place + 1].isspace()
    last = before.rstrip()[-1:]
    if last in ("。", "．", "！", "？") or (gap and last in (".", "!", "?")):
        return 2
    return int(gap or last in ("、", "，"))
