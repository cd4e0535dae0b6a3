"""What the tasks about battles share: fitting the three texts of each row, and saying what was cut."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow as pa

from lib.errors import ConfigError
from lib.scoring.aggregates.judgements import Aggregate
from lib.scoring.probabilities import FloatArray
from lib.tasks.base import Notes, Prepared
from lib.tasks.prompts.fitting import MIN_TURN_TOKENS, Fitted, Sides, fit
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.truncation import Truncate, drop_turns
from lib.types import BATTLE_TEXTS, PROBABILITIES, VERDICTS, Tokenizer

VERDICT_FIELDS = [*((name, pa.float64()) for name in PROBABILITIES), ("verdict", pa.string())]
REFERENCE = "reference"
"""A right answer, where a judge is shown one: the fourth text of a battle."""

_CONVERSATIONS = {
    "conversation_a": "response_a",
    "conversation_b": "response_b",
    f"conversation_{REFERENCE}": REFERENCE,
}
"""Slots that hold exchanges: the prompt's turns, each with one of this text."""

Render = Callable[[Sides], list[list[int]]]


def token_fields(texts: Sequence[str]) -> list[tuple[str, pa.DataType]]:
    """Columns: tokens of the row's requests, and those that were cut from each text."""
    return [(name, pa.int32()) for name in ("tokens", *(f"cut_{text}" for text in texts))]


TOKEN_FIELDS = token_fields(BATTLE_TEXTS)


def texts_of(prompt: PromptConfig) -> tuple[str, ...]:
    """The texts of a battle that a prompt shows.

    Raises ConfigError unless it shows prompt and responses, in slots of their own or as conversations, and beside these
    a reference at most.
    """
    shown = {_CONVERSATIONS.get(slot, slot) for slot in prompt.slots}
    texts = (*BATTLE_TEXTS, REFERENCE) if REFERENCE in shown else BATTLE_TEXTS
    prompt.require_unset("decimals", why="on a judge of battles, whose labels are no grades")
    prompt.require_unset("images", why="on a judge of battles, which are texts")
    if not {"conversation_a", "conversation_b"} <= prompt.slots:
        prompt.require(texts)
        prompt.require_unset("turn", why="without {conversation_a} and {conversation_b} in prompt.template")
    elif not prompt.turn:
        raise ConfigError("prompt.turn: is needed to write the exchanges of {conversation_a} and {conversation_b}")
    elif unknown := sorted(prompt.slots - {*_CONVERSATIONS, REFERENCE}):
        raise ConfigError(f"prompt.template: has no slot {{{unknown[0]}}} beside conversations; leave it out")
    return texts


def slot_pieces(prompt: PromptConfig, texts: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """What goes into each slot, for the turns of each text."""
    return {
        slot: _exchanges(prompt.turn, texts["prompt"], texts[_CONVERSATIONS[slot]])
        if slot in _CONVERSATIONS
        else texts[slot]
        for slot in prompt.slots
    }


def _exchanges(turn: str, prompts: Sequence[str], responses: Sequence[str]) -> list[str]:
    """Each exchange as `prompt.turn` writes it; a missing turn is empty."""
    return [
        re.sub(r"\{(prompt|response)\}", lambda slot: {"prompt": p, "response": r}[slot[1]], turn)  # noqa: B023
        for p, r in zip_longest(prompts, responses, fillvalue="")
    ]


def fit_battles(
    rows: pa.Table,
    parts: Sequence[Sequence[int]],
    render: Render,
    tokenizer: Tokenizer,
    max_tokens: int,
    truncate: Truncate,
    texts: Sequence[str] = BATTLE_TEXTS,
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

    battles = zip(*(rows[side].to_pylist() for side in texts), strict=True)
    return [cut([[turn or "" for turn in side] for side in battle]) for battle in battles]


def _tokens(turns: Sequence[str], tokenizer: Tokenizer) -> int:
    return sum(len(tokenizer.encode(turn)) for turn in turns)


def as_requests(fitted: Sequence[Fitted], notes: Notes) -> Prepared[Notes]:
    """The requests of all rows, one row's after another's."""
    return Prepared([request for row in fitted for request in row.requests], [sum(row.cut) for row in fitted], notes)


def require_room(render: Render, max_tokens: int, *, output: int = 0, texts: Sequence[str] = BATTLE_TEXTS) -> None:
    """Raise ConfigError where the fixed text of a request leaves no room for a few tokens of each text.

    output: tokens that the answer takes.
    """
    fixed = max(map(len, render([[""]] * len(texts))))
    least = fixed + output + len(texts) * MIN_TURN_TOKENS
    if least > max_tokens:
        raise ConfigError(
            f"engine.max_model_len={max_tokens}: the fixed text of a request alone has {fixed} tokens; "
            f"use at least {least}, or a shorter prompt"
        )


def length_fields(prompt: PromptConfig) -> list[tuple[str, pa.DataType]]:
    """Columns: characters of each response, where what sums verdicts up takes length into account."""
    wanted = prompt.aggregate is Aggregate.alpaca_eval
    return [("length_a", pa.int32()), ("length_b", pa.int32())] if wanted else []


def length_columns(prompt: PromptConfig, rows: pa.Table) -> list[list[int]]:
    """The columns of `length_fields`: of all turns of a response."""
    return [
        [sum(len(turn or "") for turn in turns) for turns in rows[text].to_pylist()]
        for text, _ in zip(BATTLE_TEXTS[1:], length_fields(prompt), strict=False)
    ]


def verdict_columns(probabilities: FloatArray) -> list[Any]:
    """The columns of VERDICT_FIELDS for probabilities [n, 3]: the verdict is the most probable of A, B and tie.

    Of equal ones it is the first in this order; of a row with NaN, which has failed, there is none.
    """
    known = ~np.isnan(probabilities).any(axis=1)
    likeliest = pa.array(np.nan_to_num(probabilities).argmax(axis=1), mask=~known)
    return [*probabilities.T, pa.array(VERDICTS).take(likeliest)]


def token_columns(fitted: Sequence[Fitted], texts: Sequence[str] = BATTLE_TEXTS) -> list[list[int]]:
    """The columns of `token_fields`: tokens of the row's requests, and tokens cut from each text."""
    tokens = [sum(map(len, row.requests)) for row in fitted]
    return [tokens, *([row.cut[side] for row in fitted] for side in range(len(texts)))]
