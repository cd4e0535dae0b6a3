"""Requests as the model gets them, for a person to read."""

from collections.abc import Iterator, Sequence

from lib.types import TokenIds, Tokenizer

_LONGEST_CHARACTER = 4  # bytes of UTF-8


def preview(requests: Sequence[TokenIds], tokenizer: Tokenizer) -> list[str]:
    """For each request its number and tokens, its whole text with special tokens, and the string of each token."""
    shown = []
    for number, request in enumerate(requests, 1):
        strings = " ".join(map(repr, pieces(request, tokenizer)))
        shown.append(f"── request {number}: {len(request)} tokens ──\n{tokenizer.decode(request)}\n── {strings}")
    return shown


def pieces(tokens: TokenIds, tokenizer: Tokenizer) -> Iterator[str]:
    """The string of each token, blanks included; tokens that only together make a character come as one."""
    before = start = 0  # of the piece before, of this one
    for stop in range(1, len(tokens) + 1):
        # With the piece before, since a token alone may lose the blank that it begins with.
        known, text = tokenizer.decode(tokens[before:start]), tokenizer.decode(tokens[before:stop])
        if text.endswith("\ufffd") and stop - start < _LONGEST_CHARACTER and stop < len(tokens):
            continue
        yield text[len(known) :]
        before, start = start, stop
