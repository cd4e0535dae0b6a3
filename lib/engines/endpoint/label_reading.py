"""Labels read from the likeliest next tokens that a server tells of, which may leave some of them out. Pure.

A label is written in texts (bare, and after a blank), of which the server's own tokens may make one token or several.
Where a token only begins a label, the answer is begun with it and asked on from there: along the tokens that the
model's tokenizer makes of the text, where we have it, else along the likeliest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lib.engines.endpoint.reply_reading import Top

_NEGLIGIBLE = math.log(1e-4)  # what begins so unlikely is not asked on
_UNREADABLE = 0.01  # a label that may be so much likelier than it seems is not read
_LEAST = 1e-12

Tops = Mapping[str, Top]
"""What is known of the next token, by the text with which the answer was begun."""


@dataclass(frozen=True)
class Spelling:
    """A text of a label. ends: its beginnings at which one of its tokens ends; None where these aren't known."""

    text: str
    ends: frozenset[str] | None = None


@dataclass(frozen=True)
class Reading:
    """A label's log-probability. bounded: it is one that it can't exceed, as none of its texts was told of."""

    logprob: float
    bounded: bool = False


def to_ask(labels: Sequence[Sequence[Spelling]], tops: Tops) -> list[str]:
    """Beginnings of answers after which more of a label has to be asked for: none, where all is known."""
    wanted = []
    for spellings in labels:
        walks = [_walk(spelling, tops) for spelling in spellings]
        if all(walk.found is None for walk in walks):
            wanted += [walk.begun + walk.prefix for walk in walks if walk.prefix and walk.on > _NEGLIGIBLE]
    return list(dict.fromkeys(wanted))


def read(spellings: Sequence[Spelling], tops: Tops) -> Reading | str:
    """A label's log-probability from all that is known; why it can't be read, where that could be far off.

    What is told of some of its texts is its probability: the others are less likely than all tokens that are told of.
    """
    walks = [_walk(spelling, tops) for spelling in spellings]
    found = [walk.found for walk in walks if walk.found is not None]
    if found:
        return Reading(float(np.logaddexp.reduce(found)))
    for spelling, walk in zip(spellings, walks, strict=True):
        if walk.prefix and math.exp(walk.on) > _UNREADABLE:
            return (
                f"the label {spelling.text!r} takes the server several tokens, of which {walk.prefix!r} comes next "
                f"with {math.exp(walk.on):.0%}, and it can't be made to go on from there; choose labels of one token, "
                "or use judge.mode=text"
            )
    return Reading(math.log(min(sum(walk.most for walk in walks), 1.0)), bounded=True)


@dataclass(frozen=True, kw_only=True)
class _Walk:
    """How far a text is known, token by token, of those that go on with it the likeliest.

    found: its log-probability, None where it isn't told. begun: what of it was asked; prefix: the token that goes on
    from there, '' for none; on: log-probability of both together. most: probability of the whole text, at most.
    """

    found: float | None = None
    begun: str
    prefix: str = ""
    on: float = -math.inf
    most: float = 1.0


def _walk(spelling: Spelling, tops: Tops) -> _Walk:
    text, ends = spelling.text, spelling.ends
    begun, before = "", 0.0
    while True:
        top, rest = tops[begun], text[len(begun) :]
        if rest in top.logprobs:
            return _Walk(found=before + top.logprobs[rest], begun=begun)
        beginnings = [token for token in top.logprobs if token and rest.startswith(token)]
        beginnings = [token for token in beginnings if ends is None or begun + token in ends]
        prefix = max(beginnings, key=lambda token: top.logprobs[token], default="")
        on = before + top.logprobs[prefix] if prefix else -math.inf
        if begun + prefix == begun or begun + prefix not in tops:
            untold = math.exp(before) * max(min(math.exp(top.floor), top.lost), _LEAST)
            return _Walk(begun=begun, prefix=prefix, on=on, most=untold + math.exp(on))
        begun, before = begun + prefix, on
