"""Grading by the probabilities of the grades."""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lib.scoring.probabilities import FloatArray, normalise_labels
from lib.tasks.base import Prepared, Result, as_table
from lib.tasks.grading.grading import TOKENS, Grading
from lib.tasks.prompts.fitting import Fitted
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
from lib.tasks.prompts.slots import check_prompt
from lib.types import Answers, LabelEngine, Tokenizer


class _Labelled(NamedTuple):
    """What is remembered of requests, and the labels that are asked for after each of them."""

    fitted: list[Fitted]
    labels: list[Spelled]


class LabelGrade(Grading[LabelEngine, _Labelled, Answers]):
    """The task of `jobs.grade` with grade.mode=labels.

    Columns: grade (the expected value of the grades), likeliest (the likeliest of them, the lower of equals), logprobs
    (of each grade, as the engine gives them); with criteria these three for each, and their mean as `grade`. label_mass
    (probability of all grades together before renormalising, mean of the requests), tokens and cut (of all the row's
    requests).
    """

    version = 1
    method = "label_logprobs"

    @cached_property
    def answered(self) -> pa.Schema:
        """The log-probabilities, and what only the tokenizer can tell."""
        return pa.schema({**self.columns({"logprobs": pa.list_(pa.float32(), len(self.scale.grades))}), **TOKENS})

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that the task adds to a row."""
        own = self.columns({"grade": pa.float64(), "likeliest": pa.float64()})
        concluded = {"grade": pa.float64(), **own, "label_mass": pa.float64()}
        return pa.schema([*concluded.items(), *self.answered])

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Refuse grades that can't be told apart, and a prompt that leaves no room."""
        check_prompt(self.prompt, tokenizer, max_tokens, output=longest(self.prompt.labels, tokenizer))
        empty = self.prompt.tokens({slot: [""] for slot in self.prompt.slots}, tokenizer)
        label_sequences(self.prompt.labels, tokenizer, empty)

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[_Labelled]:
        """One request for each row and criterion."""
        fitted = self.fit(rows, tokenizer, max_tokens - longest(self.prompt.labels, tokenizer))
        requests = [one.requests[0] for one in fitted]
        _, cut = self.token_columns(fitted)
        return Prepared(requests, cut, _Labelled(fitted, spell(self.prompt.labels, tokenizer, requests)))

    def ask(self, engine: LabelEngine, prepared: Prepared[_Labelled]) -> Answers:
        """Log-probabilities of the grades [requests, k]."""
        return ask_labels(engine, prepared.requests, prepared.notes.labels, len(self.prompt.labels))

    def read(self, prepared: Prepared[_Labelled], answers: Answers) -> Result:
        """The log-probabilities of each criterion."""
        count = len(self.endings)
        asked = [as_lists(answers.values[place::count]) for place in range(count)]
        return self.result([*asked, *self.token_columns(prepared.notes.fitted)], self.errors(answers.errors))

    def conclude(self, rows: pa.Table, answered: pa.Table) -> pa.Table:
        """Renormalise over the grades; expected values, and their mean."""
        own: dict[str, Any] = {}
        masses = []
        for ending in self.endings:
            probabilities, mass = normalise_labels(as_array(answered[f"logprobs{ending}"]))
            own[f"grade{ending}"] = probabilities @ np.array(self.scale.grades)
            own[f"likeliest{ending}"] = self._likeliest(probabilities)
            masses.append(mass)
        mean = np.mean([own[f"grade{ending}"] for ending in self.endings], axis=0)
        concluded = {"grade": mean, **own, "label_mass": np.mean(masses, axis=0)}
        return as_table([*concluded.values(), *answered.columns], self.schema, nan_is_null=True)

    def check_first(self, results: pa.Table) -> None:
        """Raise ConfigError where nearly no probability is on the grades."""
        require_mass(
            results["label_mass"],
            self.config.min_label_mass,
            self.prompt.labels,
            key="grade.min_label_mass",
            otherwise="grade.mode=text lets it write, and ",
        )

    def _likeliest(self, probabilities: FloatArray) -> FloatArray:
        unknown = np.isnan(probabilities).any(axis=1)
        found = np.array(self.scale.grades)[np.nan_to_num(probabilities).argmax(axis=1)]
        return np.where(unknown, np.nan, found)
