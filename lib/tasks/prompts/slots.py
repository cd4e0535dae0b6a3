"""Filling a prompt's slots from the columns of a table, cut so that the request fits."""

from collections.abc import Mapping, Sequence
from itertools import islice

import pyarrow as pa

from lib.errors import ConfigError
from lib.tasks.prompts.fitting import MIN_TURN_TOKENS, Fitted, fit
from lib.tasks.prompts.prompt import PromptConfig
from lib.types import Tokenizer, slot_column

Values = Mapping[str, Sequence[str]]
"""What goes into each slot: a text in one or several pieces."""


def slot_values(rows: pa.Table, slots: Sequence[str]) -> list[Values]:
    """The pieces for each slot of each row; null pieces are empty."""
    columns = [rows[slot_column(slot)].to_pylist() for slot in slots]
    return [
        {slot: [piece or "" for piece in pieces] for slot, pieces in zip(slots, row, strict=True)}
        for row in zip(*columns, strict=True)
    ] or [{} for _ in range(rows.num_rows)]


def fit_slots(values: Values, prompt: PromptConfig, tokenizer: Tokenizer, max_tokens: int) -> Fitted:
    """One request of at most `max_tokens` tokens: the longest pieces are cut first, in their middle; none is lost."""
    counts = {slot: len(pieces) for slot, pieces in values.items()}

    def render(sides: Sequence[Sequence[str]]) -> list[list[int]]:
        pieces = iter("".join(side) for side in sides)
        return [prompt.tokens({slot: list(islice(pieces, n)) for slot, n in counts.items()}, tokenizer)]

    sides = [[piece] for pieces in values.values() for piece in pieces]
    return fit(sides, [range(len(sides))], render, tokenizer, max_tokens)


def check_prompt(prompt: PromptConfig, tokenizer: Tokenizer, max_tokens: int, *, output: int) -> None:
    """Raise ConfigError where the prompt asks for a chat that the tokenizer can't write, or leaves no room for texts.

    output: tokens that are kept free for the answer.
    """
    prompt.check(tokenizer)
    fixed = len(prompt.tokens({slot: [""] for slot in prompt.slots}, tokenizer))
    least = fixed + output + len(prompt.slots) * MIN_TURN_TOKENS
    if least > max_tokens:
        raise ConfigError(
            f"engine.max_model_len={max_tokens}: the prompt's fixed text has {fixed} tokens and the answer takes up to "
            f"{output}; use at least {least}, a shorter prompt, or a shorter answer"
        )
