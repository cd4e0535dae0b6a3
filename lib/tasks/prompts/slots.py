"""Filling a prompt's slots from the columns of a table, cut so that the request fits."""

from collections.abc import Mapping, Sequence
from itertools import islice

import pyarrow as pa

from lib.errors import ConfigError
from lib.images import Image, image_column, read_image
from lib.tasks.prompts.fitting import MIN_TURN_TOKENS, Fitted, fit
from lib.tasks.prompts.prompt import PromptConfig
from lib.types import Tokenizer, slot_column

_DOT = (  # an image of one pixel
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)

Values = Mapping[str, Sequence[str]]
"""What goes into each slot: a text in one or several pieces."""


def slot_values(rows: pa.Table, slots: Sequence[str]) -> list[Values]:
    """The pieces for each slot of each row; null pieces are empty, and a null cell has none."""
    columns = [rows[slot_column(slot)].to_pylist() for slot in slots]
    return [
        {slot: [piece or "" for piece in pieces or ()] for slot, pieces in zip(slots, row, strict=True)}
        for row in zip(*columns, strict=True)
    ] or [{} for _ in range(rows.num_rows)]


def shown_images(rows: pa.Table, fields: Sequence[str]) -> list[list[Image]]:
    """The images that each row shows, field by field."""
    columns = [rows[image_column(name)].to_pylist() for name in fields]
    return [[read_image(url) for urls in row for url in urls] for row in zip(*columns, strict=True)] or [
        [] for _ in range(rows.num_rows)
    ]


def fit_slots(
    values: Values, prompt: PromptConfig, tokenizer: Tokenizer, max_tokens: int, images: Sequence[Image] = ()
) -> Fitted:
    """One request of at most `max_tokens` tokens: the longest pieces are cut first, in their middle; none is lost.

    Images are not cut: where they alone leave no room, the request is longer, and the engine fails it.
    """
    counts = {slot: len(pieces) for slot, pieces in values.items()}

    def render(sides: Sequence[Sequence[str]]) -> list[list[int]]:
        pieces = iter("".join(side) for side in sides)
        texts = {slot: list(islice(pieces, n)) for slot, n in counts.items()}
        return [prompt.tokens(texts, tokenizer, images=images)]

    sides = [[piece] for pieces in values.values() for piece in pieces]
    if images and len(render([[""] for _ in sides])[0]) > max_tokens:
        return Fitted(sides, [0] * len(sides), render(sides))
    return fit(sides, [range(len(sides))], render, tokenizer, max_tokens)


def check_prompt(prompt: PromptConfig, tokenizer: Tokenizer, max_tokens: int, *, output: int) -> None:
    """Raise ConfigError where the prompt asks for a chat that the tokenizer can't write, or leaves no room for texts.

    output: tokens that are kept free for the answer.
    """
    prompt.check(tokenizer)
    try:
        dots = [read_image(_DOT)] * len(prompt.images)
        fixed = len(prompt.tokens({slot: [""] for slot in prompt.slots}, tokenizer, images=dots))
    except ValueError as error:
        raise ConfigError(f"prompt.images={prompt.images}: {error}") from error
    least = fixed + output + len(prompt.slots) * MIN_TURN_TOKENS
    if least > max_tokens:
        raise ConfigError(
            f"engine.max_model_len={max_tokens}: the prompt's fixed text has {fixed} tokens and the answer takes up to "
            f"{output}; use at least {least}, a shorter prompt, or a shorter answer"
        )
