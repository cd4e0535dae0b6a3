"""Fitting: texts are cut so that every request fits, the same way for both responses.

Room is shared per turn: one cap for all turns, so the longest are cut first, in their middle. Where that would
leave turns of less than MIN_TURN_TOKENS, the oldest exchange (the turns of one number) is dropped instead.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from lib.types import Tokenizer

MIN_TURN_TOKENS = 16
MARKER = " … "

Sides = list[list[str]]
"""Texts of a row: turns by side (prompt, response A, response B); turn i of all sides is one exchange."""


@dataclass(frozen=True)
class Fitted:
    """Texts that fit; cut: tokens taken away from each side; requests: their token ids."""

    sides: Sides
    cut: list[int]
    requests: list[list[int]]


def fit(
    sides: Sides,
    parts: Sequence[Sequence[int]],
    render: Callable[[Sides], list[list[int]]],
    tokenizer: Tokenizer,
    max_tokens: int,
) -> Fitted:
    """Cut the turns of a row until each of its requests has at most `max_tokens` tokens.

    parts: for each request the numbers of the sides it holds; render: texts -> token ids of the requests.
    The fixed text of the requests must fit by itself: the task's `check` sees to that.
    """
    requests = render(sides)
    if max(map(len, requests)) <= max_tokens:
        return Fitted(sides, [0] * len(sides), requests)

    spans = [[tokenizer.spans(turn) for turn in side] for side in sides]
    lengths = [[len(turn) for turn in side] for side in spans]
    excess = [0] * len(parts)  # tokens do not add up exactly over joined texts: what was too much so far

    @cache
    def around(oldest: int) -> list[int]:  # tokens of each request that stand around its turns, and go with them
        return [*map(len, render([[""] * len(side[oldest:]) for side in sides]))]

    def budgets(oldest: int) -> list[int]:
        return [max_tokens - fixed - more for fixed, more in zip(around(oldest), excess, strict=True)]

    def roomy(oldest: int) -> bool:
        rest, room = [side[oldest:] for side in lengths], budgets(oldest)
        return min(room) >= 0 and _cap(rest, parts, room) >= min(MIN_TURN_TOKENS, _longest(rest))

    while True:
        oldest = bisect_left(range(max(map(len, sides)) - 1), True, key=roomy)
        cap = _cap([side[oldest:] for side in lengths], parts, budgets(oldest))
        kept = [
            [_cut_middle(turn, span, cap) for turn, span in zip(side[oldest:], side_spans[oldest:], strict=True)]
            for side, side_spans in zip(sides, spans, strict=True)
        ]
        requests = render(kept)
        over = [len(request) - max_tokens for request in requests]
        if max(over) <= 0:
            cut = [sum(side) - sum(min(n, cap) for n in side[oldest:]) for side in lengths]
            return Fitted(kept, cut, requests)
        assert cap > 0, "the fixed text of a prompt is longer than the limit"
        excess = [more + max(tokens, 0) for more, tokens in zip(excess, over, strict=True)]


def _cap(lengths: Sequence[Sequence[int]], parts: Sequence[Sequence[int]], budgets: Sequence[int]) -> int:
    """The largest cap for all turns that keeps each part within its budget; the longest length where all fits.

    A part that fits as it is sets no cap: short texts in one request must not shorten those in another.
    """
    turns = [[n for s in part for n in lengths[s]] for part in parts]
    levels = [water_level(part, budget) for part, budget in zip(turns, budgets, strict=True) if sum(part) > budget]
    return min(levels, default=_longest(lengths))


def _longest(lengths: Sequence[Sequence[int]]) -> int:
    return max((n for side in lengths for n in side), default=0)


def water_level(lengths: Sequence[int], budget: int) -> int:
    """The largest cap c for which sum(min(length, c)) <= budget; the longest length where all fits; at least 0."""
    remaining = budget
    for index, length in enumerate(ordered := sorted(lengths)):
        level = remaining // (len(ordered) - index)
        if level < length:
            return max(level, 0)
        remaining -= length
    return max(lengths, default=0)


def _cut_middle(text: str, spans: Sequence[tuple[int, int]], cap: int) -> str:
    """The first and last tokens of a text, `cap` of them with the marker between."""
    if len(spans) <= cap:
        return text
    keep = max(cap - 1, 0)  # the marker's own token
    head = (keep + 1) // 2
    tail = keep - head
    start = text[: spans[head - 1][1]] if head else ""
    end = text[spans[-tail][0] :] if tail else ""
    return start + MARKER + end if keep else ""
