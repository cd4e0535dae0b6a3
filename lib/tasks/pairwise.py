"""Pairwise judging: which of two responses is better, by the log-probabilities of labels such as A, B and tie.

Both orders are asked by default and averaged, since judges favour a position (Zheng et al. 2023, "Judging
LLM-as-a-Judge with MT-Bench and Chatbot Arena", section 3.3).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lib.config import identity, of_rule, transient
from lib.errors import ConfigError
from lib.scoring.calibrating.temperature import TemperatureTie
from lib.scoring.probabilities import FloatArray, average_orders, normalise_labels, swap_ab
from lib.tasks.base import Prepared, Result, Task, as_table
from lib.tasks.battle_requests import (
    VERDICT_FIELDS,
    Render,
    as_requests,
    fit_battles,
    length_columns,
    length_fields,
    require_room,
    slot_pieces,
    texts_of,
    token_columns,
    token_fields,
    verdict_columns,
)
from lib.tasks.prompts.fitting import Fitted, Sides
from lib.tasks.prompts.labels import (
    Spelled,
    as_array,
    as_lists,
    ask_labels,
    label_sequences,
    longest,
    require_mass,
    spell,
)
from lib.tasks.prompts.meanings import outcomes_of
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.truncation import Truncate
from lib.types import PROBABILITIES, Answers, LabelEngine, Tokenizer


class Mode(Enum):
    """How a judge answers: by its probabilities of the labels, in writing, or by the classes of a classifier."""

    labels = "labels"
    text = "text"
    classes = "classes"


class Swap(Enum):
    """The orders in which the two responses are shown."""

    both = "both"
    none = "none"


@dataclass(frozen=True, kw_only=True)
class PairwiseConfig:
    """How battles are judged.

    mode: `labels` reads how likely each label is to come next; `text` lets the judge write and takes the label that
    it ends with; `classes` takes the probabilities of a classifier with three labels. swap: `both` asks with A first
    and with B first and averages; `none` asks once, A first. truncate: how texts that are too long are cut.
    min_label_mass: where the labels together are less likely than that (the median of the first shard), the run stops:
    what the model wants to say is something else. 0 takes any.

    temperature, tie_offset: the rule by which the mean of the orders becomes the probabilities: each is raised to
    1/temperature, that of a tie multiplied by e^tie_offset, and all are renormalised. `jobs.evaluate` fits both where
    there are labels.
    """

    mode: Mode = Mode.labels
    swap: Swap = Swap.both
    truncate: Truncate = Truncate.fair
    min_label_mass: float = transient(default=0.1)
    temperature: float = of_rule(default=1.0)
    tie_offset: float = of_rule(default=0.0)

    def __post_init__(self) -> None:
        if not 0 <= self.min_label_mass < 1:
            raise ConfigError(f"judge.min_label_mass={self.min_label_mass}: must be in [0, 1); 0 takes any")
        if not 0 < self.temperature < math.inf:
            raise ConfigError(
                f"judge.temperature={self.temperature}: must be above 0; 1 leaves probabilities as they are"
            )
        if not math.isfinite(self.tie_offset):
            raise ConfigError(f"judge.tie_offset={self.tie_offset}: must be a finite number; 0 leaves ties as they are")

    @property
    def orders(self) -> int:
        """Requests about each battle."""
        return 2 if self.swap is Swap.both else 1

    def probabilities(self, ab: FloatArray, ba: FloatArray) -> FloatArray:
        """Probabilities [n, 3] from those of both orders [n, 3], each in terms of the row's own A and B.

        ba: of no account where A is shown first only.
        """
        mean = average_orders(ab, ba) if self.swap is Swap.both else ab
        if (self.temperature, self.tie_offset) == (1, 0):  # not by way of logarithms, which would change the last digit
            return mean
        return TemperatureTie(temperature=self.temperature, tie_offset=self.tie_offset).of_probabilities(mean)


ORDER_FIELDS = [(f"{order}_{name}", pa.float64()) for order in ("ab", "ba") for name in PROBABILITIES]


def render_orders(prompt: PromptConfig, orders: int, tokenizer: Tokenizer, *, finished: bool = False) -> Render:
    """How a battle becomes requests: the one with A first and, of two, the one with B first.

    finished: as of PromptConfig.tokens.
    """
    texts = texts_of(prompt)

    def render(sides: Sides) -> list[list[int]]:
        asked, a, b, *reference = sides
        shown = [dict(zip(texts, (asked, *pair, *reference), strict=True)) for pair in ((a, b), (b, a))[:orders]]
        return [prompt.tokens(slot_pieces(prompt, each), tokenizer, finished=finished) for each in shown]

    return render


def in_terms_of_the_row(probabilities: FloatArray, orders: int) -> tuple[FloatArray, FloatArray]:
    """Probabilities [n, 3] of A, B and a tie in each order, the second NaN where there is only one.

    probabilities: [n * orders, 3], of what was shown first, what was shown second, and a tie.
    """
    ab = probabilities[0::orders]
    return ab, swap_ab(probabilities[1::2]) if orders == 2 else np.full_like(ab, np.nan)


class _Labelled(NamedTuple):
    """What is remembered of rows, and the labels that are asked for after each request."""

    fitted: list[Fitted]
    labels: list[Spelled]


@dataclass(frozen=True)
class Pairwise(Task[LabelEngine, _Labelled, Answers]):
    """The task of `jobs.judge` with judge.mode=labels.

    Columns: p_a, p_b, p_tie; verdict (the likeliest: A, B or tie); p_* for each order shown (ab_: A first, ba_: B
    first; both in terms of the row's own A and B; of labels that mean the same the sum); label_mass (probability of all
    labels together before renormalising, mean of the orders); ab_logprobs, ba_logprobs (of each label in each order, as
    the engine gives them: about what is shown first and second); length_* (characters of each response, where
    prompt.aggregate asks for them); tokens (of the row's requests); cut_* (tokens cut from
    each text).
    """

    config: PairwiseConfig
    prompt: PromptConfig

    version = 5
    method = "label_logprobs"

    def __post_init__(self) -> None:
        _ = self.texts, self._outcomes  # what is wrong with them is said now

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The texts of a battle that are shown."""
        return texts_of(self.prompt)

    @cached_property
    def answered(self) -> pa.Schema:
        """The log-probabilities of each order, and what only the tokenizer can tell."""
        logprobs = self._logprobs
        return pa.schema([("ab_logprobs", logprobs), ("ba_logprobs", logprobs), *token_fields(self.texts)])

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that the task adds to a row."""
        own = [*VERDICT_FIELDS, *ORDER_FIELDS, ("label_mass", pa.float64()), *length_fields(self.prompt)]
        return pa.schema([*own, *self.answered])

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version, "judge": identity(self.config), "prompt": identity(self.prompt)}

    def question(self) -> Mapping[str, Any]:
        """The same without temperature, tie offset, and how verdicts are summed up."""
        asked = {"judge": identity(self.config, rules=False), "prompt": identity(self.prompt, rules=False)}
        return {**self.identity(), **asked}

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Refuse labels that cannot be told apart, and a prompt whose fixed text leaves no room."""
        self.prompt.check(tokenizer)
        for request in self._render(tokenizer)([[""]] * len(self.texts)):
            label_sequences(self.prompt.labels, tokenizer, request)
        output = longest(self.prompt.labels, tokenizer)
        require_room(self._render(tokenizer), max_tokens, output=output, texts=self.texts)

    def writes_chats(self, tokenizer: Tokenizer) -> bool:
        """Whether the texts of rows become turns of chats."""
        return self.prompt.is_chat(tokenizer)

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[_Labelled]:
        """One request per row and order, with room for the longest label; the two of a row stand side by side."""
        fitted = fit_battles(
            rows,
            [range(len(self.texts))] * self.config.orders,
            self._render(tokenizer),
            tokenizer,
            max_tokens - longest(self.prompt.labels, tokenizer),
            self.config.truncate,
            self.texts,
        )
        requests = [request for row in fitted for request in row.requests]
        return as_requests(fitted, _Labelled(fitted, spell(self.prompt.labels, tokenizer, requests)))

    def ask(self, engine: LabelEngine, prepared: Prepared[_Labelled]) -> Answers:
        """Label log-probabilities [requests, k]."""
        return ask_labels(engine, prepared.requests, prepared.notes.labels, len(self.prompt.labels))

    def read(self, prepared: Prepared[_Labelled], answers: Answers) -> Result:
        """The log-probabilities of each order."""
        orders = self.config.orders
        asked = [as_lists(answers.values[order::orders]) for order in range(orders)]
        unasked = [pa.nulls(len(prepared.notes.fitted), self._logprobs)] * (2 - orders)
        columns = [*asked, *unasked, *token_columns(prepared.notes.fitted, self.texts)]
        return self.result(columns, {n // orders: why for n, why in answers.errors.items()})

    def conclude(self, rows: pa.Table, answered: pa.Table) -> pa.Table:
        """Renormalise over the labels, sum up outcomes, put them into terms of A and B, average, calibrate."""
        orders = self.config.orders
        logprobs = [as_array(answered[name]) for name in ("ab_logprobs", "ba_logprobs")[:orders]]
        probabilities, mass = normalise_labels(np.stack(logprobs, axis=1).reshape(-1, len(self.prompt.labels)))
        ab, ba = in_terms_of_the_row(probabilities @ self._outcomes, orders)
        verdicts = verdict_columns(self.config.probabilities(ab, ba))
        own = [*verdicts, *ab.T, *ba.T, mass.reshape(-1, orders).mean(axis=1), *length_columns(self.prompt, rows)]
        columns = [*own, *answered.columns]
        return as_table(columns, self.schema, nan_is_null=True)

    def check_first(self, results: pa.Table) -> None:
        """Raise ConfigError where nearly no probability is on the labels."""
        require_mass(
            results["label_mass"],
            self.config.min_label_mass,
            self.prompt.labels,
            key="judge.min_label_mass",
            otherwise="judge.mode=text lets it write, and ",
        )

    @cached_property
    def _outcomes(self) -> FloatArray:
        return outcomes_of(self.prompt.labels, self.prompt.means)

    @property
    def _logprobs(self) -> pa.DataType:
        return pa.list_(pa.float32(), len(self.prompt.labels))

    def _render(self, tokenizer: Tokenizer) -> Render:
        return render_orders(self.prompt, self.config.orders, tokenizer)
