"""Keeping rows as they are: of a job whose rows are its result, such as chunks of documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lib.tasks.base import Prepared, Result, Task
from lib.types import Completions, Engine, Tokenizer


@dataclass(frozen=True)
class Keep(Task[Engine, None, Completions]):
    """Asks nothing and adds nothing. tokenizer: what identifies the one by which the rows were made."""

    tokenizer: Mapping[str, str]

    version = 2
    method = "nothing"
    schema = pa.schema([])

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version, "tokenizer": self.tokenizer}

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[None]:
        """No requests."""
        return Prepared([], [0] * rows.num_rows, None)

    def ask(self, engine: Engine, prepared: Prepared[None]) -> Completions:
        """No answers."""
        return Completions([])

    def read(self, prepared: Prepared[None], answers: Completions) -> Result:
        """No columns."""
        return self.result([], {})
