"""What a task is: what is asked of a model about a row, and how the answer is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from lib.types import Tokenizer


@dataclass(frozen=True)
class Result:
    """What a task found out about n rows.

    columns: the task's own columns, [n] rows; what stands in a failed row is of no account.
    errors: row number -> why the row has no result.
    """

    columns: pa.Table
    errors: Mapping[int, str]


@dataclass(frozen=True)
class Prepared:
    """Requests about n rows, ready for an engine, and what the task wants to remember of the rows.

    requests: token ids, in the order in which the task reads the answers. counts: how many of them each row has; None
    where all have equally many. cut: tokens that were cut from each row. new_tokens: that the engine may write after
    each request, at most; 0 for one that only reads.
    """

    requests: list[list[int]]
    cut: list[int]
    notes: Any
    new_tokens: int = 0
    counts: list[int] | None = None


class Task(Protocol):
    """Asks one kind of question about rows. Immutable; sent to every worker."""

    @property
    def method(self) -> str:
        """The engine's method that answers, such as `label_logprobs` or `embed` (lib/types.py has them all)."""

    @property
    def schema(self) -> pa.Schema:
        """The columns that the task adds to a row."""

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results, its code's version included."""

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Raise ConfigError for what cannot work with this tokenizer, before a model is loaded."""

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared:
        """Requests about the rows, none longer than `max_tokens`."""

    def ask(self, engine: Any, prepared: Prepared) -> Any:
        """Have the engine answer the requests: Answers, Completions or Found, each with its `usage`."""

    def read(self, prepared: Prepared, answers: Any) -> Result:
        """Results from answers."""
