"""What a task is: what is asked of a model about a row, and how the answer is read."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa

from lib.types import Reply, Tokenizer

Notes = TypeVar("Notes")
Asked = TypeVar("Asked", contravariant=True)
Answered = TypeVar("Answered", bound=Reply)


@dataclass(frozen=True)
class Result:
    """What a task found out about n rows.

    columns: the task's own columns, [n] rows; what stands in a failed row is of no account.
    errors: row number -> why the row has no result.
    """

    columns: pa.Table
    errors: Mapping[int, str]


@dataclass(frozen=True)
class Prepared(Generic[Notes]):
    """Requests about n rows, ready for an engine, and what the task wants to remember of the rows.

    requests: token ids, in the order in which the task reads the answers. counts: how many of them each row has; None
    where all have equally many. cut: tokens that were cut from each row. new_tokens: that the engine may write after
    each request, at most; 0 for one that only reads.
    """

    requests: list[list[int]]
    cut: list[int]
    notes: Notes
    new_tokens: int = 0
    counts: list[int] | None = None


class Task(ABC, Generic[Asked, Notes, Answered]):
    """Asks one kind of question about rows. Immutable; sent to every worker.

    Asked: the engine that it asks. Notes: what it remembers of rows. Answered: what the engine answers.
    version: of its code, in as far as that changes results. method: the engine's method that answers, such as
    `label_logprobs` or `embed` (lib/types.py has them all). schema: the columns that the task adds to a row.
    """

    version: ClassVar[int] = 1
    method: ClassVar[str]

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns that the task adds to a row."""

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results, its code's version included."""
        return {"version": self.version}

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Raise ConfigError for what cannot work with this tokenizer, before a model is loaded."""

    def writes_chats(self, tokenizer: Tokenizer) -> bool:
        """Whether the texts of rows become turns of chats."""
        return False

    @abstractmethod
    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[Notes]:
        """Requests about the rows, none longer than `max_tokens`."""

    @abstractmethod
    def ask(self, engine: Asked, prepared: Prepared[Notes]) -> Answered:
        """Have the engine answer the requests."""

    @abstractmethod
    def read(self, prepared: Prepared[Notes], answers: Answered) -> Result:
        """Results from answers."""

    def check_first(self, results: pa.Table) -> None:
        """Raise ConfigError where the results of the first shard show that the others would be worth nothing."""

    def result(self, columns: Sequence[Any], errors: Mapping[int, str], *, nan_is_null: bool = False) -> Result:
        """A result of these columns, in the order of the schema. nan_is_null: whether a NaN stands for nothing."""
        arrays = [
            pa.array(column, field.type, from_pandas=nan_is_null)
            for column, field in zip(columns, self.schema, strict=True)
        ]
        return Result(pa.table(arrays, schema=self.schema), errors)


AnyTask = Task[Any, Any, Any]
