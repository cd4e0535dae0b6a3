"""Writing text: an answer for each row, after a prompt filled from its columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from lib.config import identity
from lib.tasks.base import Prepared, Result, Task
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.slots import check_prompt, fit_slots, shown_images, slot_values
from lib.tasks.sampling import (
    SamplingConfig,
    new_tokens,
    reserved_tokens,
    row_keys,
    row_seed,
    sampling,
    schema_problem,
    total_tokens,
)
from lib.types import Completions, GenerateEngine, Tokenizer

_OF_A_SAMPLE = {"text": pa.string(), "finish_reason": pa.string(), "new_tokens": pa.int32()}


@dataclass(frozen=True)
class Generate(Task[GenerateEngine, list[int], Completions]):
    """The task of `jobs.generate`.

    Columns: text (never with the prompt in it), finish_reason (`stop`: an end token or a stop text; `length`: cut off
    by the limit or by the end of the context), new_tokens; with `generate.n` samples a row each of the three is a list.
    tokens, cut: of the prompt, and of what was cut from it. seed: of the row's draws, null where nothing is drawn.
    """

    config: SamplingConfig
    prompt: PromptConfig

    version = 2
    method = "generate"

    def __post_init__(self) -> None:
        self.prompt.require_unset("turn", why="without the slots of conversations, which judges have")

    @property
    def fields(self) -> list[str]:
        """The columns of the table that are read."""
        return sorted(self.prompt.slots)

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns that the task adds to a row."""
        many = self.config.n > 1
        own = {name: pa.list_(kind) if many else kind for name, kind in _OF_A_SAMPLE.items()}
        return pa.schema({**own, "tokens": pa.int32(), "cut": pa.int32(), "seed": pa.int64()})

    @property
    def draws(self) -> bool:
        """Whether samples are drawn."""
        return self.config.temperature > 0

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version, "generate": identity(self.config), "prompt": identity(self.prompt)}

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Refuse a prompt that leaves no room for texts and for the answer."""
        output = reserved_tokens(self.config)
        check_prompt(self.prompt, tokenizer, total_tokens(self.config, max_tokens), output=output)

    def writes_chats(self, tokenizer: Tokenizer) -> bool:
        """Whether the texts of rows become turns of chats."""
        return self.prompt.is_chat(tokenizer)

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[list[int]]:
        """One request a row, with room for the answer behind it."""
        most = total_tokens(self.config, max_tokens) - reserved_tokens(self.config)
        values, images = slot_values(rows, self.fields), shown_images(rows, self.prompt.images)
        fitted = [
            fit_slots(texts, self.prompt, tokenizer, most, shown) for texts, shown in zip(values, images, strict=True)
        ]
        seeds = [row_seed(self.config.seed, key) for key in row_keys(rows)]
        requests = [row.requests[0] for row in fitted]
        most_new = new_tokens(self.config, requests, max_tokens)
        return Prepared(requests, [sum(row.cut) for row in fitted], seeds, new_tokens=most_new)

    def ask(self, engine: GenerateEngine, prepared: Prepared[list[int]]) -> Completions:
        """The samples of each row."""
        return engine.generate(prepared.requests, sampling(self.config), prepared.notes)

    def read(self, prepared: Prepared[list[int]], answers: Completions) -> Result:
        """Texts with how they ended."""
        own: list[list[Any]] = [
            [[c.text for c in row] for row in answers.texts],
            [[c.finish_reason for c in row] for row in answers.texts],
            [[len(c.tokens) for c in row] for row in answers.texts],
        ]
        if self.config.n == 1:
            own = [[next(iter(row), None) for row in column] for column in own]
        seeds = prepared.notes if self.config.temperature else [None] * len(prepared.cut)
        columns = [*own, [len(request) for request in prepared.requests], prepared.cut, seeds]
        return self.result(columns, {**self._breaches(answers), **answers.errors}, answers.errors)

    def _breaches(self, answers: Completions) -> dict[int, str]:
        """Rows with a finished text that is not of the schema: engines take some schemas more loosely than they are."""
        schema = self.config.json_schema
        if schema is None:
            return {}
        finished = [[c.text for c in row if c.finish_reason == "stop"] for row in answers.texts]
        problems = [[p for text in row if (p := schema_problem(text, schema))] for row in finished]
        return {row: f"not of generate.json_schema: {found[0]}" for row, found in enumerate(problems) if found}
