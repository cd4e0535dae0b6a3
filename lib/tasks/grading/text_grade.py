"""Grading in writing: the judge answers in its own words, and ends with a number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lib.config import identity
from lib.tasks.base import Prepared, Result, as_table
from lib.tasks.grading.grade_words import written_grade
from lib.tasks.grading.grading import TOKENS, Grading
from lib.tasks.prompts.begun import begun_answer
from lib.tasks.prompts.fitting import Fitted
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
from lib.types import Completion, Completions, GenerateEngine, Tokenizer

_ENDING = 60  # characters of an answer that an error quotes


class _Begun(NamedTuple):
    """What is remembered of requests: their seeds, and how their prompts have begun the answer (`begun_answer`)."""

    fitted: list[Fitted]
    seeds: list[int]
    begun: list[str]


@dataclass(frozen=True)
class TextGrade(Grading[GenerateEngine, _Begun, Completions]):
    """The task of `jobs.grade` with grade.mode=text.

    A sample without a grade counts for nothing, and neither does one that the limit of tokens ended. A row of which all
    samples (of one of its criteria) are such has failed.

    Columns: grade (mean of the samples' grades), texts and grades (of each sample, null for none); with criteria these
    three for each, and their mean as `grade`. no_grade (samples without one), unfinished (those of them that the limit
    ended), new_tokens, tokens and cut (of all the row's requests).
    """

    generate: SamplingConfig

    version = 1
    method = "generate"

    @cached_property
    def answered(self) -> pa.Schema:
        """What was written and read, and what only the tokenizer can tell."""
        own = self.columns({"texts": pa.list_(pa.string()), "grades": pa.list_(pa.float64())})
        return pa.schema({**own, **dict.fromkeys(("no_grade", "unfinished", "new_tokens"), pa.int32()), **TOKENS})

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that the task adds to a row."""
        concluded = {"grade": pa.float64(), **self.columns({"grade": pa.float64()})}
        return pa.schema([*concluded.items(), *self.answered])

    @property
    def draws(self) -> bool:
        """Whether samples are drawn."""
        return self.generate.temperature > 0

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {**super().identity(), "generate": identity(self.generate)}

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Refuse a prompt that leaves no room for texts and for the answer."""
        output = reserved_tokens(self.generate)
        check_prompt(self.prompt, tokenizer, total_tokens(self.generate, max_tokens), output=output)

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[_Begun]:
        """One request for each row and criterion, with room for the answer behind it."""
        fitted = self.fit(rows, tokenizer, total_tokens(self.generate, max_tokens) - reserved_tokens(self.generate))
        requests = [one.requests[0] for one in fitted]
        seeds = [
            row_seed(self.generate.seed, key, place) for key in row_keys(rows) for place in range(len(self.endings))
        ]
        begun = [begun_answer(self.prompt.answer_prefix, request, tokenizer) for request in requests]
        _, cut = self.token_columns(fitted)
        most_new = new_tokens(self.generate, requests, max_tokens)
        return Prepared(requests, cut, _Begun(fitted, seeds, begun), new_tokens=most_new)

    def ask(self, engine: GenerateEngine, prepared: Prepared[_Begun]) -> Completions:
        """The samples of each request."""
        return engine.generate(prepared.requests, sampling(self.generate), prepared.notes.seeds)

    def read(self, prepared: Prepared[_Begun], answers: Completions) -> Result:
        """What was written, and the grades in it."""
        grades = [
            [self._grade(begun, sample) for sample in samples]
            for begun, samples in zip(prepared.notes.begun, answers.texts, strict=True)
        ]
        errors = dict(answers.errors)
        for number, (samples, found) in enumerate(zip(answers.texts, grades, strict=True)):
            if number not in errors and set(found) <= {None}:
                errors[number] = self._no_grade(samples)
        texts = [[sample.text for sample in samples] for samples in answers.texts]
        count = len(self.endings)
        flat = [[sample for samples in row for sample in samples] for row in self.of_rows(answers.texts)]
        columns = [
            *(column[place::count] for place in range(count) for column in (texts, grades)),
            [sum(found.count(None) for found in row) for row in self.of_rows(grades)],
            [sum(map(_unfinished, row)) for row in flat],
            [sum(len(sample.tokens) for sample in row) for row in flat],
            *self.token_columns(prepared.notes.fitted),
        ]
        return self.result(columns, self.errors(errors), {number // count for number in answers.errors})

    def conclude(self, rows: pa.Table, answered: pa.Table) -> pa.Table:
        """Means of the samples, and of the criteria."""
        own = {f"grade{ending}": _means(answered[f"grades{ending}"].to_pylist()) for ending in self.endings}
        concluded = {"grade": np.mean(list(own.values()), axis=0), **own}
        return as_table([*concluded.values(), *answered.columns], self.schema, nan_is_null=True)

    def _grade(self, begun: str, sample: Completion) -> float | None:
        return None if _unfinished(sample) else written_grade(begun + sample.text, self.scale)

    def _no_grade(self, samples: Sequence[Completion]) -> str:
        """Why a request has no grade."""
        cut_off, whole = ([s for s in samples if _unfinished(s) is unfinished] for unfinished in (True, False))
        whys = []
        if whole:
            kind = "number" if self.scale.decimals else "whole number"
            whys.append((f"ends with no {kind} from {self.scale}", whole))
        if cut_off:
            after = len(cut_off[-1].tokens)
            limit = limit_key(self.generate, after)
            whys.append((f"was cut off after {after} tokens, so raise {limit}", cut_off))
        why = "; ".join(w if len(samples) == 1 else f"{w} [{len(of)} of {len(samples)}]" for w, of in whys)
        return f"no grade: the answer {why} (ends: {whys[-1][1][-1].text[-_ENDING:]!r})"


def _unfinished(sample: Completion) -> bool:
    return sample.finish_reason == "length"


def _means(samples: Sequence[Sequence[float | None] | None]) -> list[float]:
    """The mean of the grades of each row that has any, else NaN."""
    known = [[grade for grade in row or () if grade is not None] for row in samples]
    return [sum(row) / len(row) if row else float("nan") for row in known]
