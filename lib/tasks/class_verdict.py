"""Judging by a classifier: the probabilities of its three classes, which of two responses is better or neither."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from lib.config import identity
from lib.errors import ConfigError
from lib.log import log
from lib.scoring.probabilities import normalise_labels
from lib.tasks.base import Prepared, Result, Task, as_table
from lib.tasks.battle_requests import (
    VERDICT_FIELDS,
    Render,
    as_requests,
    fit_battles,
    require_room,
    texts_of,
    token_columns,
    token_fields,
    verdict_columns,
)
from lib.tasks.pairwise import ORDER_FIELDS, PairwiseConfig, in_terms_of_the_row, render_orders
from lib.tasks.prompts.fitting import Fitted
from lib.tasks.prompts.labels import as_array, as_lists
from lib.tasks.prompts.prompt import PromptConfig
from lib.types import VERDICTS, Answers, ClassEngine, Tokenizer

_WORDS = {
    "A": {"a", "winner_model_a", "winner_a", "model_a", "response_a", "a_wins", "first"},
    "B": {"b", "winner_model_b", "winner_b", "model_b", "response_b", "b_wins", "second"},
    "tie": {"tie", "winner_tie", "tied", "draw", "same", "equal", "neither"},
}
_LOGPROBS = pa.list_(pa.float32(), len(VERDICTS))


def class_order(names: Sequence[str]) -> tuple[str, ...]:
    """What each of a classifier's classes says: A, B and tie, in the order of its outputs.

    names: as its config.json calls them. LABEL_0, LABEL_1, LABEL_2 (what transformers writes unless it is told) are A,
    B, tie, as in the files of Kaggle's competition. Raises ConfigError for other names that don't say it.
    """
    if [*names] == [f"LABEL_{number}" for number in range(len(VERDICTS))]:
        return VERDICTS
    plain = [name.strip().casefold().replace(" ", "_").replace("-", "_") for name in names]
    found = tuple(next((verdict for verdict in VERDICTS if name in _WORDS[verdict]), "") for name in plain)
    if sorted(found) != sorted(VERDICTS):
        raise ConfigError(
            f"engine.model: its config.json calls its classes {', '.join(map(repr, names))} (id2label), which does not "
            "say which of them means that A is better, B is better, or a tie: name them A, B and tie there"
        )
    return found


@dataclass(frozen=True)
class ClassVerdict(Task[ClassEngine, list[Fitted], Answers]):
    """The task of `jobs.judge` with judge.mode=classes.

    names: what the engine's config calls its classes, in the order of its outputs.

    Columns: p_a, p_b, p_tie, verdict, and p_* for each order shown, as of `Pairwise`; ab_logprobs, ba_logprobs (of A, B
    and tie in each order, about what is shown first and second); tokens (of the row's requests), cut_* (tokens cut from
    each text).
    """

    config: PairwiseConfig
    prompt: PromptConfig
    names: tuple[str, ...]

    version = 1
    method = "class_logprobs"

    def __post_init__(self) -> None:
        _ = self.texts, self._order  # what is wrong with them is said now
        self.prompt.require_unset(
            "labels", why="with judge.mode=classes, whose classes are the model's (prompt=classifier_en has no labels)"
        )
        self.prompt.require_unset("answer_prefix", why="with judge.mode=classes, since nothing is answered")

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The texts of a battle that are shown."""
        return texts_of(self.prompt)

    @cached_property
    def answered(self) -> pa.Schema:
        """The log-probabilities of each order, and what only the tokenizer can tell."""
        return pa.schema([("ab_logprobs", _LOGPROBS), ("ba_logprobs", _LOGPROBS), *token_fields(self.texts)])

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that the task adds to a row."""
        return pa.schema([*VERDICT_FIELDS, *ORDER_FIELDS, *self.answered])

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        own = {"version": self.version, "classes": self._classes}
        return {**own, "judge": identity(self.config), "prompt": identity(self.prompt)}

    def question(self) -> Mapping[str, Any]:
        """The same without temperature, tie offset, and how verdicts are summed up."""
        asked = {"judge": identity(self.config, rules=False), "prompt": identity(self.prompt, rules=False)}
        return {**self.identity(), **asked}

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Refuse a prompt that this tokenizer can't write, or whose fixed text leaves no room."""
        self.prompt.check(tokenizer)
        require_room(self._render(tokenizer), max_tokens, texts=self.texts)
        log.info("the classes of the model: %s", self._classes)

    def writes_chats(self, tokenizer: Tokenizer) -> bool:
        """Whether the texts of rows become turns of chats."""
        return self.prompt.is_chat(tokenizer)

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[list[Fitted]]:
        """One request per row and order; the two of a row stand side by side."""
        parts = [range(len(self.texts))] * self.config.orders
        render = self._render(tokenizer)
        fitted = fit_battles(rows, parts, render, tokenizer, max_tokens, self.config.truncate, self.texts)
        return as_requests(fitted, fitted)

    def ask(self, engine: ClassEngine, prepared: Prepared[list[Fitted]]) -> Answers:
        """Log-probabilities of the classes [requests, 3], in the engine's order."""
        return engine.class_logprobs(prepared.requests)

    def read(self, prepared: Prepared[list[Fitted]], answers: Answers) -> Result:
        """The log-probabilities of A, B and tie in each order."""
        orders = self.config.orders
        values = answers.values[:, [self._order.index(verdict) for verdict in VERDICTS]]
        asked = [as_lists(np.ascontiguousarray(values[order::orders])) for order in range(orders)]
        unasked = [pa.nulls(len(prepared.notes), _LOGPROBS)] * (2 - orders)
        columns = [*asked, *unasked, *token_columns(prepared.notes, self.texts)]
        return self.result(columns, {n // orders: why for n, why in answers.errors.items()})

    def conclude(self, rows: pa.Table, answered: pa.Table) -> pa.Table:
        """Put the second order back into terms of A and B, average, calibrate."""
        orders = self.config.orders
        logprobs = [as_array(answered[name]) for name in ("ab_logprobs", "ba_logprobs")[:orders]]
        probabilities, _ = normalise_labels(np.stack(logprobs, axis=1).reshape(-1, len(VERDICTS)))
        ab, ba = in_terms_of_the_row(probabilities, orders)
        own = [*verdict_columns(self.config.probabilities(ab, ba)), *ab.T, *ba.T]
        return as_table([*own, *answered.columns], self.schema, nan_is_null=True)

    @cached_property
    def _order(self) -> tuple[str, ...]:
        return class_order(self.names)

    @property
    def _classes(self) -> str:
        """For a reader: what each class is taken for."""
        return ", ".join(f"{name} = {verdict}" for name, verdict in zip(self.names, self._order, strict=True))

    def _render(self, tokenizer: Tokenizer) -> Render:
        return render_orders(self.prompt, self.config.orders, tokenizer, finished=True)
