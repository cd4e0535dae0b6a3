"""Keeping rows as they are: of a job whose rows are its result, such as chunks of documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lib.tasks.base import Prepared, Result
from lib.types import Answers, Tokenizer


@dataclass(frozen=True)
class Keep:
    """Asks nothing and adds nothing. tokenizer: what identifies the one by which they were made."""

    tokenizer: Mapping[str, str]

    version = 1
    method = "nothing"
    schema = pa.schema([])

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version, "tokenizer": self.tokenizer}

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """There is nothing to check."""

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared:
        """No requests."""
        return Prepared([], [0] * rows.num_rows, None)

    def ask(self, engine: Any, prepared: Prepared) -> Answers:
        """No answers."""
        return Answers(np.zeros((0, 0), np.float32))

    def read(self, prepared: Prepared, answers: Answers) -> Result:
        """No columns."""
        return Result(pa.table({}), {})
