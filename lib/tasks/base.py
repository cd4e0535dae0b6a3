"""What a task is: what is asked of a model about a row, and how the answer is read."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa

from lib.types import Reply, Tokenizer

Notes = TypeVar("Notes")
Asked = TypeVar("Asked", contravariant=True)
Answered = TypeVar("Answered", bound=Reply)


@dataclass(frozen=True)
class Result:
    """What an engine answered about n rows.

    columns: those of the task's `answered`, [n] rows; what stands in an unanswered row is of no account.
    errors: row number -> why the row has no result. unanswered: those of them to which the engine gave no answer; the
    answer to each of the others is there, but of no use.
    """

    columns: pa.Table
    errors: Mapping[int, str]
    unanswered: Collection[int]


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

    An engine's answers are read first (`read`: the columns of `answered`), and a rule makes results of them
    (`conclude`): answers are remembered, and the rule may change without asking again.

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

    @property
    def answered(self) -> pa.Schema:
        """Those of them, by name and type, that hold what the engine answered, or only its tokenizer can tell."""
        return self.schema

    @property
    def draws(self) -> bool:
        """Whether equal rows are to be answered differently, since answers are drawn."""
        return False

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results, its code's version included."""
        return {"version": self.version}

    def question(self) -> Mapping[str, Any]:
        """Everything about the task that changes answers: its identity without the settings of `conclude`."""
        return self.identity()

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Raise ConfigError for what cannot work with this tokenizer, before a model is loaded."""

    def writes_chats(self, tokenizer: Tokenizer) -> bool:
        """Whether the texts of rows become turns of chats."""
        return False

    @abstractmethod
    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[Notes]:
        """Requests about the rows, none longer than `max_tokens`. rows: canonical, with their keys."""

    @abstractmethod
    def ask(self, engine: Asked, prepared: Prepared[Notes]) -> Answered:
        """Have the engine answer the requests."""

    @abstractmethod
    def read(self, prepared: Prepared[Notes], answers: Answered) -> Result:
        """The columns of `answered`, from answers."""

    def conclude(self, rows: pa.Table, answered: pa.Table) -> pa.Table:
        """The columns of `schema` from those of `answered`; equal answers give equal results, to the bit.

        rows: as `prepare` gets them. What it makes of a row without an answer (nulls) is of no account.
        """
        return answered

    def check_first(self, results: pa.Table) -> None:
        """Raise ConfigError where the results of the first shard show that the others would be worth nothing."""

    def result(
        self,
        columns: Sequence[Any],
        errors: Mapping[int, str],
        unanswered: Collection[int] | None = None,
        *,
        nan_is_null: bool = False,
    ) -> Result:
        """A result of these columns, in the order of `answered`. unanswered: None for all failed rows."""
        table = as_table(columns, self.answered, nan_is_null=nan_is_null)
        return Result(table, errors, errors.keys() if unanswered is None else unanswered)


def as_table(columns: Sequence[Any], schema: pa.Schema, *, nan_is_null: bool = False) -> pa.Table:
    """A table of these columns, in the order of the schema. nan_is_null: in columns not of Arrow."""
    arrays = [
        column if isinstance(column, pa.ChunkedArray) else pa.array(column, field.type, from_pandas=nan_is_null)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.table(arrays, schema=schema)


AnyTask = Task[Any, Any, Any]
