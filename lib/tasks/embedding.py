"""Embedding texts: one vector for each row, of length one where directions alone count."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from lib.config import identity
from lib.errors import ConfigError
from lib.tasks.base import Prepared, Result, Task, as_table
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.tasks.prompts.slots import slot_values
from lib.types import Answers, EmbedEngine, Tokenizer


class Role(Enum):
    """What a text is for: many embedders want another beginning for each (`engine.prompts`)."""

    query = "query"
    document = "document"
    none = "none"


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """What is embedded.

    text: a template with the fields of the table as slots, as in "{title} {text}". role: which of the engine's prompts
    is put before it. dimensions: keep the first of a vector's values only, for models that were trained so (Kusupati
    et al. 2022, "Matryoshka Representation Learning"); null: all of them. What is left has length one again, unless
    the model's vectors are compared by dot product.
    """

    text: str = "{text}"
    role: Role = Role.document
    dimensions: int | None = None

    def __post_init__(self) -> None:
        if self.dimensions is not None and self.dimensions < 1:
            raise ConfigError(f"embed.dimensions={self.dimensions}: must be at least 1, or null for all")
        if not self.template.slots:
            raise ConfigError(f"embed.text={self.text}: names no field of the table, as {{text}} does")

    @cached_property
    def template(self) -> PromptConfig:
        """The text with its slots."""
        return PromptConfig(template=self.text, chat=Chat.never)


@dataclass(frozen=True)
class Embed(Task[EmbedEngine, None, Answers]):
    """The task of `jobs.embed`. prefix: the engine's prompt for the role. width: values of the engine's vectors.

    unit: whether these have length one. Columns: text (without the prefix), vector (float32), tokens, cut (tokens cut
    from the text's end).
    """

    config: EmbedConfig
    prefix: str
    width: int
    unit: bool = True

    version = 2
    method = "embed"

    @property
    def fields(self) -> list[str]:
        """The columns of the table that are read."""
        return sorted(self.config.template.slots)

    @property
    def schema(self) -> pa.Schema:
        """The columns that the task adds to a row."""
        return pa.schema([("text", pa.string()), *self.answered])

    @property
    def answered(self) -> pa.Schema:
        """Those of them that hold what the engine answered."""
        vector = pa.list_(pa.float32(), self.config.dimensions or self.width)
        return pa.schema({"vector": vector, "tokens": pa.int32(), "cut": pa.int32()})

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version, "embed": identity(self.config), "prefix": self.prefix}

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Refuse more dimensions than there are, and a limit that leaves no room for a text."""
        if (self.config.dimensions or 0) > self.width:
            raise ConfigError(f"embed.dimensions={self.config.dimensions}: the engine's vectors have {self.width}")
        fixed = len(self._tokens("", tokenizer))
        if fixed >= max_tokens:
            raise ConfigError(f"engine.max_model_len={max_tokens}: the prompt before a text alone has {fixed} tokens")

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[None]:
        """One request a row: prefix and text, the text cut at its end as embedders are trained to."""
        requests, cut = [], []
        for row in self._values(rows):
            plain = self.config.template.fill({slot: tokenizer.plain(text) for slot, text in row.items()})
            request, lost = self._request(plain, tokenizer, max_tokens)
            requests.append(request)
            cut.append(lost)
        return Prepared(requests, cut, None)

    def ask(self, engine: EmbedEngine, prepared: Prepared[None]) -> Answers:
        """Vectors [rows, width]."""
        return engine.embed(prepared.requests)

    def read(self, prepared: Prepared[None], answers: Answers) -> Result:
        """Keep the dimensions that are wanted, and make the vectors' length one again where it was."""
        size = self.config.dimensions or self.width
        assert answers.values.shape[1] in (self.width, 0), "the engine's vectors are of another width than it said"
        vectors = answers.values[:, :size] if answers.values.shape[1] else np.full((len(prepared.cut), size), np.nan)
        if size < self.width and self.unit:
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        flat = pa.array(vectors.astype(np.float32).ravel())
        tokens = [len(request) for request in prepared.requests]
        columns = [pa.FixedSizeListArray.from_arrays(flat, size), tokens, prepared.cut]
        return self.result(columns, answers.errors)

    def conclude(self, rows: pa.Table, answered: pa.Table) -> pa.Table:
        """Put the texts beside their vectors."""
        texts = [self.config.template.fill(row) for row in self._values(rows)]
        return as_table([texts, *answered.columns], self.schema)

    def _values(self, rows: pa.Table) -> list[dict[str, str]]:
        """What goes into the slots of the text, for each row."""
        return [{slot: " ".join(texts) for slot, texts in row.items()} for row in slot_values(rows, self.fields)]

    def _request(self, text: str, tokenizer: Tokenizer, max_tokens: int) -> tuple[list[int], int]:
        request = self._tokens(text, tokenizer)
        if len(request) <= max_tokens:
            return request, 0
        whole = tokenizer.spans(text)
        keep = len(whole)
        while len(request) > max_tokens and keep:
            keep = max(keep - (len(request) - max_tokens), 0)
            request = self._tokens(text[: whole[keep - 1][1]] if keep else "", tokenizer)
        return request, len(whole) - keep

    def _tokens(self, text: str, tokenizer: Tokenizer) -> list[int]:
        return tokenizer.embedding_prompt(text, self.prefix, self.config.role.value)
