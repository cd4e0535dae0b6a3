"""Judging in writing: the judge answers in its own words, reasons first if it likes, and ends with a label."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lib.config import identity
from lib.errors import ConfigError
from lib.scoring.probabilities import FloatArray
from lib.tasks.base import Prepared, Result, Task, as_table
from lib.tasks.battle_requests import (
    VERDICT_FIELDS,
    fit_battles,
    length_columns,
    length_fields,
    texts_of,
    token_columns,
    token_fields,
    verdict_columns,
)
from lib.tasks.pairwise import ORDER_FIELDS, PairwiseConfig, in_terms_of_the_row, render_orders
from lib.tasks.prompts.begun import begun_answer
from lib.tasks.prompts.fitting import Fitted
from lib.tasks.prompts.meanings import outcomes_of
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.slots import check_prompt
from lib.tasks.sampling import (
    SamplingConfig,
    limit_key,
    new_tokens,
    reserved_tokens,
    row_keys,
    row_seed,
    sampling,
    total_tokens,
)
from lib.tasks.written.verdict import verdict
from lib.types import PROBABILITIES, Completion, Completions, GenerateEngine, Tokenizer

_ENDING = 60  # characters of an answer that an error quotes


@dataclass(frozen=True)
class _Begun:
    """What is remembered of a request: its seed, and how its prompt has begun the answer.

    begun: "<think>" where the chat template, or the prompt's own text, has opened the reasoning, and then
    prompt.answer_prefix; empty where the answer is all the model's.
    """

    seed: int
    begun: str


class _Seeded(NamedTuple):
    """What is remembered of rows and of their requests."""

    fitted: list[Fitted]
    asked: list[_Begun]


@dataclass(frozen=True)
class WrittenVerdict(Task[GenerateEngine, _Seeded, Completions]):
    """The task of `jobs.judge` with judge.mode=text.

    The probabilities of an order are the shares of its samples with each verdict. A sample without one counts for
    none, and neither does one that the limit of tokens ended: what it names last is not what it would have ended with.
    A row whose samples of an order are all such has failed.

    Columns: p_a, p_b, p_tie, verdict, and p_* for each order shown, as of `Pairwise`; no_verdict (samples without one),
    unfinished (those of them that the limit ended); texts and verdicts (of all samples, A first and then B first, as
    they were written: in the second half A is the row's B; null for none); new_tokens (of all samples); tokens (of the
    row's requests), cut_* (tokens cut from each text).
    """

    config: PairwiseConfig
    generate: SamplingConfig
    prompt: PromptConfig

    version = 4
    method = "generate"

    def __post_init__(self) -> None:
        _ = self.shown, self._outcomes  # what is wrong with them is said now
        for number, label in enumerate(self.prompt.labels):
            if verdict(label, self.prompt.labels) != number:
                raise ConfigError(f"prompt.labels={self.prompt.labels}: {label!r} can't be told from another of them")

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """The texts of a battle that are shown."""
        return texts_of(self.prompt)

    @cached_property
    def answered(self) -> pa.Schema:
        """What was written and read, and what only the tokenizer can tell."""
        return pa.schema(
            [
                *ORDER_FIELDS,
                ("no_verdict", pa.int32()),
                ("unfinished", pa.int32()),
                ("texts", pa.list_(pa.string())),
                ("verdicts", pa.list_(pa.string())),
                ("new_tokens", pa.int32()),
                *token_fields(self.shown),
            ]
        )

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that the task adds to a row."""
        return pa.schema([*VERDICT_FIELDS, *length_fields(self.prompt), *self.answered])

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {
            "version": self.version,
            "judge": identity(self.config),
            "generate": identity(self.generate),
            "prompt": identity(self.prompt),
        }

    def question(self) -> Mapping[str, Any]:
        """The same without temperature, tie offset, and how verdicts are summed up."""
        asked = {"judge": identity(self.config, rules=False), "prompt": identity(self.prompt, rules=False)}
        return {**self.identity(), **asked}

    @property
    def draws(self) -> bool:
        """Whether samples are drawn."""
        return self.generate.temperature > 0

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Refuse a prompt that leaves no room for texts and for the answer."""
        output = reserved_tokens(self.generate)
        check_prompt(self.prompt, tokenizer, total_tokens(self.generate, max_tokens), output=output)

    def writes_chats(self, tokenizer: Tokenizer) -> bool:
        """Whether the texts of rows become turns of chats."""
        return self.prompt.is_chat(tokenizer)

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[_Seeded]:
        """One request per row and order, with room for the answer; the two of a row stand side by side."""
        orders = self.config.orders
        fitted = fit_battles(
            rows,
            [range(len(self.shown))] * orders,
            render_orders(self.prompt, orders, tokenizer),
            tokenizer,
            total_tokens(self.generate, max_tokens) - reserved_tokens(self.generate),
            self.config.truncate,
            self.shown,
        )
        requests = [request for row in fitted for request in row.requests]
        seeds = [row_seed(self.generate.seed, key, order) for key in row_keys(rows) for order in range(orders)]
        begun = [begun_answer(self.prompt.answer_prefix, request, tokenizer) for request in requests]
        return Prepared(
            requests,
            [sum(row.cut) for row in fitted],
            _Seeded(fitted, list(map(_Begun, seeds, begun))),
            new_tokens=new_tokens(self.generate, requests, max_tokens),
        )

    def ask(self, engine: GenerateEngine, prepared: Prepared[_Seeded]) -> Completions:
        """The samples of each request."""
        return engine.generate(
            prepared.requests, sampling(self.generate), [request.seed for request in prepared.notes.asked]
        )

    def read(self, prepared: Prepared[_Seeded], answers: Completions) -> Result:
        """Count verdicts, put the second order back into terms of A and B."""
        orders = self.config.orders
        verdicts = [
            [self._verdict(request.begun, sample) for sample in samples]
            for request, samples in zip(prepared.notes.asked, answers.texts, strict=True)
        ]
        labels = range(len(self.prompt.labels))
        found_labels = [[found.count(label) for label in labels] for found in verdicts]
        counts = np.array(found_labels, np.float64).reshape(-1, len(labels)) @ self._outcomes
        with np.errstate(invalid="ignore"):
            shares = counts / counts.sum(axis=1, keepdims=True)
        errors = {n // orders: why for n, why in answers.errors.items()}
        for n, (samples, found) in enumerate(zip(answers.texts, verdicts, strict=True)):
            if n // orders not in errors and set(found) <= {None}:
                errors[n // orders] = self._no_verdict("AB"[n % orders], samples)
        texts = [[sample for samples in row for sample in samples] for row in _rows(answers.texts, orders)]
        ab, ba = in_terms_of_the_row(shares, orders)
        of_rows = [[v for found in row for v in found] for row in _rows(verdicts, orders)]
        columns = [
            *ab.T,
            *ba.T,
            [row.count(None) for row in of_rows],
            [sum(map(_unfinished, row)) for row in texts],
            [[sample.text for sample in row] for row in texts],
            [[None if v is None else self.prompt.labels[v] for v in row] for row in of_rows],
            [sum(len(sample.tokens) for sample in row) for row in texts],
            *token_columns(prepared.notes.fitted, self.shown),
        ]
        unanswered = {n // orders for n in answers.errors}
        return self.result(columns, errors, unanswered, nan_is_null=True)

    def conclude(self, rows: pa.Table, answered: pa.Table) -> pa.Table:
        """Average the orders, calibrate."""
        ab, ba = (np.column_stack([answered[f"{order}_{name}"] for name in PROBABILITIES]) for order in ("ab", "ba"))
        verdicts = verdict_columns(self.config.probabilities(ab, ba))
        columns = [*verdicts, *length_columns(self.prompt, rows), *answered.columns]
        return as_table(columns, self.schema, nan_is_null=True)

    @cached_property
    def _outcomes(self) -> FloatArray:
        return outcomes_of(self.prompt.labels, self.prompt.means)

    def _verdict(self, begun: str, sample: Completion) -> int | None:
        return None if _unfinished(sample) else verdict(begun + sample.text, self.prompt.labels)

    def _no_verdict(self, first: str, samples: Sequence[Completion]) -> str:
        """Why an order has no verdict. first: the response that it shows first."""
        cut_off, whole = ([s for s in samples if _unfinished(s) is unfinished] for unfinished in (True, False))
        whys = []
        if whole:
            whys.append((f"names none of {', '.join(self.prompt.labels)}", whole))
        if cut_off:
            after = len(cut_off[-1].tokens)
            whys.append((f"was cut off after {after} tokens, so raise {limit_key(self.generate, after)}", cut_off))
        why = "; ".join(w if len(samples) == 1 else f"{w} [{len(of)} of {len(samples)}]" for w, of in whys)
        return f"no verdict: with {first} first the answer {why} (ends: {whys[-1][1][-1].text[-_ENDING:]!r})"


def _unfinished(sample: Completion) -> bool:
    return sample.finish_reason == "length"


def _rows(of_requests: Sequence[Any], orders: int) -> Iterator[Sequence[Any]]:
    return (of_requests[start : start + orders] for start in range(0, len(of_requests), orders))
