"""What the tasks about battles share: fitting the three texts of each row, and saying what was cut."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from lib.errors import ConfigError
from lib.scoring.probabilities import FloatArray
from lib.tasks.base import Notes, Prepared
from lib.tasks.prompts.fitting import MIN_TURN_TOKENS, Fitted, Sides, fit
from lib.tasks.prompts.truncation import Truncate, drop_turns
from lib.types import BATTLE_TEXTS, PROBABILITIES, VERDICTS, Tokenizer

VERDICT_FIELDS = [*((name, pa.float64()) for name in PROBABILITIES), ("verdict", pa.string())]
TOKEN_FIELDS = [(name, pa.int32()) for name in ("tokens", *(f"cut_{side}" for side in BATTLE_TEXTS))]

Render = Callable[[Sides], list[list[int]]]


def fit_battles(
    rows: pa.Table,
    parts: Sequence[Sequence[int]],
    render: Render,
    tokenizer: Tokenizer,
    max_tokens: int,
    truncate: Truncate,
) -> list[Fitted]:
    """Each row's texts, cut as `truncate` says; null turns are empty. Other arguments as of `fitting.fit`."""

    def cut(sides: Sides) -> Fitted:
        if truncate is Truncate.none:
            return Fitted(sides, [0] * len(sides), render(sides))
        kept = drop_turns(sides) if truncate is Truncate.turns_chars else sides
        fitted = fit(kept, parts, render, tokenizer, max_tokens)
        if kept == sides:
            return fitted
        dropped = [_tokens(side, tokenizer) - _tokens(rest, tokenizer) for side, rest in zip(sides, kept, strict=True)]
        return replace(fitted, cut=[more + cut for more, cut in zip(dropped, fitted.cut, strict=True)])

    battles = zip(*(rows[side].to_pylist() for side in BATTLE_TEXTS), strict=True)
    return [cut([[turn or "" for turn in side] for side in battle]) for battle in battles]


def _tokens(turns: Sequence[str], tokenizer: Tokenizer) -> int:
    return sum(len(tokenizer.encode(turn)) for turn in turns)


def as_requests(fitted: Sequence[Fitted], notes: Notes) -> Prepared[Notes]:
    """The requests of all rows, one row's after another's."""
    return Prepared([request for row in fitted for request in row.requests], [sum(row.cut) for row in fitted], notes)


def require_room(render: Render, max_tokens: int, *, output: int = 0) -> None:
    """Raise ConfigError where the fixed text of a request leaves no room for a few tokens of each text.

    output: tokens that the answer takes.
    """
    fixed = max(map(len, render([[""]] * len(BATTLE_TEXTS))))
    least = fixed + output + len(BATTLE_TEXTS) * MIN_TURN_TOKENS
    if least > max_tokens:
        raise ConfigError(
            f"engine.max_model_len={max_tokens}: the fixed text of a request alone has {fixed} tokens; "
            f"use at least {least}, or a shorter prompt"
        )


def verdict_columns(probabilities: FloatArray) -> list[Any]:
    """The columns of VERDICT_FIELDS for probabilities [n, 3]: the verdict is the most probable of A, B and tie.

    Of equal ones it is the first in this order; of a row with NaN, which has failed, there is none.
    """
    known = ~np.isnan(probabilities).any(axis=1)
    likeliest = pa.array(np.nan_to_num(probabilities).argmax(axis=1), mask=~known)
    return [*probabilities.T, pa.array(VERDICTS).take(likeliest)]


def token_columns(fitted: Sequence[Fitted]) -> list[list[int]]:
    """The columns of TOKEN_FIELDS: tokens of the row's requests, and tokens cut from each text."""
    tokens = [sum(map(len, row.requests)) for row in fitted]
    return [tokens, *([row.cut[side] for row in fitted] for side in range(len(BATTLE_TEXTS)))]
