"""Reward-model scoring of both conversations of a battle, and a rule that makes probabilities of the two scores."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import zip_longest
from typing import Any

import pyarrow as pa

from lib.config import identity, of_rule, require_unset
from lib.errors import ConfigError
from lib.scoring.probabilities import FloatArray, davidson, threshold
from lib.tasks.base import Prepared, Result, Task, as_table
from lib.tasks.battle_requests import (
    TOKEN_FIELDS,
    VERDICT_FIELDS,
    as_requests,
    fit_battles,
    require_room,
    token_columns,
    verdict_columns,
)
from lib.tasks.prompts.fitting import Fitted, Sides
from lib.tasks.prompts.truncation import Truncate
from lib.types import Answers, Message, ScoreEngine, Tokenizer


class Rule(Enum):
    """How two scores become probabilities of A, B and a tie."""

    davidson = "davidson"
    threshold = "threshold"


@dataclass(frozen=True, kw_only=True)
class ArenaConfig:
    """The rule and its parameters.

    rule: `davidson` (Davidson 1970), P(A):P(B):P(tie) = e^{z/2} : e^{-z/2} : nu with z = scale * (a - b) + bias;
    `threshold`, a tie where the scores differ by less than `tie_margin`, else softmax.
    scale, bias, log_nu: of Davidson's rule. tie_margin: of the threshold's.
    `jobs.evaluate` fits scale, bias and log_nu where there are labels. truncate: how texts that are too long are cut.
    """

    rule: Rule = of_rule(default=Rule.davidson)  # noqa: RUF009  an Enum can't change
    scale: float = of_rule(default=1.0)
    bias: float = of_rule(default=0.0)
    log_nu: float = of_rule(default=0.0)
    tie_margin: float = of_rule(default=0.08)
    truncate: Truncate = Truncate.fair

    def __post_init__(self) -> None:
        for key in ("scale", "bias", "log_nu", "tie_margin"):
            if not math.isfinite(getattr(self, key)):
                raise ConfigError(f"arena.{key}={getattr(self, key)}: must be a finite number")
        if self.scale <= 0:
            raise ConfigError(f"arena.scale={self.scale}: must be positive, since a higher score is a better response")
        if self.tie_margin < 0:
            raise ConfigError(f"arena.tie_margin={self.tie_margin}: must not be negative")
        of_the_rule = ("tie_margin",) if self.rule is Rule.threshold else ("scale", "bias", "log_nu")
        require_unset("arena", self, f"with arena.rule={self.rule.value}", ("rule", "truncate", *of_the_rule))

    def probabilities(self, score_a: FloatArray, score_b: FloatArray) -> FloatArray:
        """Probabilities [n, 3] by the rule, from scores [n]."""
        if self.rule is Rule.threshold:
            return threshold(score_a, score_b, tie_margin=self.tie_margin)
        return davidson(score_a, score_b, scale=self.scale, bias=self.bias, log_nu=self.log_nu)


@dataclass(frozen=True)
class Reward(Task[ScoreEngine, list[Fitted], Answers]):
    """The task of `jobs.arena`.

    Columns: p_a, p_b, p_tie; verdict (the likeliest: A, B or tie); score_a, score_b (the reward model's own); tokens
    (of both conversations); cut_* (tokens cut from each text).
    """

    config: ArenaConfig

    version = 2
    method = "score"
    answered = pa.schema([("score_a", pa.float64()), ("score_b", pa.float64()), *TOKEN_FIELDS])
    schema = pa.schema([*VERDICT_FIELDS, *answered])

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version, "arena": identity(self.config)}

    def question(self) -> Mapping[str, Any]:
        """The same without the rule."""
        return {**self.identity(), "arena": identity(self.config, rules=False)}

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Refuse a tokenizer without a chat template, and a limit that leaves no room for a conversation."""
        if not tokenizer.has_chat_template:
            raise ConfigError("jobs.arena: the engine's tokenizer has no chat template; give engine.chat_template")
        try:
            require_room(partial(_render, tokenizer=tokenizer), max_tokens)
        except ValueError as error:  # of a chat template that can't write conversations
            raise ConfigError(f"jobs.arena: {error}") from error

    def writes_chats(self, tokenizer: Tokenizer) -> bool:
        """Whether the texts of rows become turns of chats."""
        return True

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[list[Fitted]]:
        """Two conversations per row: with A's responses, then with B's."""
        render = partial(_render, tokenizer=tokenizer)
        fitted = fit_battles(rows, [(0, 1), (0, 2)], render, tokenizer, max_tokens, self.config.truncate)
        return as_requests(fitted, fitted)

    def ask(self, engine: ScoreEngine, prepared: Prepared[list[Fitted]]) -> Answers:
        """Rewards [requests, 1]."""
        return engine.score(prepared.requests)

    def read(self, prepared: Prepared[list[Fitted]], answers: Answers) -> Result:
        """The two scores of each row."""
        columns = [*answers.values.astype("float64").reshape(-1, 2).T, *token_columns(prepared.notes)]
        return self.result(columns, {n // 2: why for n, why in answers.errors.items()}, nan_is_null=True)

    def conclude(self, rows: pa.Table, answered: pa.Table) -> pa.Table:
        """Apply the rule to the two scores of each row."""
        probabilities = self.config.probabilities(answered["score_a"].to_numpy(), answered["score_b"].to_numpy())
        return as_table([*verdict_columns(probabilities), *answered.columns], self.schema, nan_is_null=True)


def _render(sides: Sides, tokenizer: Tokenizer) -> list[list[int]]:
    prompt, a, b = sides
    return [tokenizer.conversation(_chat(prompt, responses)) for responses in (a, b)]


def _chat(prompts: list[str], responses: list[str]) -> list[Message]:
    """Turn i of the prompt, then turn i of the response; a missing one is empty, so that turns alternate.

    At least one exchange: a side whose few turns were the oldest ones may have lost them all.
    """
    exchanges = zip_longest(prompts or [""], responses, fillvalue="")
    return [Message(role=r, content=t) for pair in exchanges for r, t in zip(("user", "assistant"), pair, strict=True)]
