"""Retrieving: the passages of a corpus that are nearest to each query."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.config import identity
from lib.errors import ConfigError
from lib.tasks.base import Prepared, Result, Task
from lib.tasks.passage_columns import PASSAGES, passage_columns
from lib.tasks.prompts.slots import slot_values
from lib.types import Found, SearchEngine, Tokenizer

FIELDS = ("question",)
BESIDE = ("vector",)


@dataclass(frozen=True, kw_only=True)
class RetrieveConfig:
    """k: passages of each query, at most."""

    k: int = 5

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"retrieve.k={self.k}: must be at least 1")


class _Queries(NamedTuple):
    """Texts and, where they are embedded, their vectors [n, d]."""

    texts: list[str]
    vectors: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Retrieve(Task[SearchEngine, _Queries, Found]):
    """The task of `jobs.retrieve`: of the field `question`, and of `vector`, where the table has that.

    Columns: question, those of PASSAGES (best first), tokens (0: nothing is read by a model).
    """

    config: RetrieveConfig

    version = 1
    method = "search"
    schema = pa.schema({"question": pa.string(), **PASSAGES, "tokens": pa.int32()})

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version, "retrieve": identity(self.config)}

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[_Queries]:
        """The queries, with their vectors where the table has them. No request is made of tokens."""
        queries = [" ".join(values["question"]) for values in slot_values(rows, FIELDS)]
        return Prepared([[] for _ in queries], [0] * len(queries), _Queries(queries, _vectors(rows)))

    def ask(self, engine: SearchEngine, prepared: Prepared[_Queries]) -> Found:
        """Passages of each query."""
        return engine.search(*prepared.notes, self.config.k)

    def read(self, prepared: Prepared[_Queries], answers: Found) -> Result:
        """Passages as columns."""
        queries = prepared.notes.texts
        columns = [queries, *passage_columns(answers.passages), [0] * len(queries)]
        return self.result(columns, answers.errors)


def _vectors(rows: pa.Table) -> npt.NDArray[np.float32] | None:
    """The column of vectors [rows, d], None where there is none. Raises ValueError for a row without one."""
    if "vector" not in rows.column_names:
        return None
    if rows["vector"].null_count:
        raise ValueError("column vector: is empty (null)")
    vectors: npt.NDArray[np.float32] = np.stack(rows["vector"].to_numpy()).astype(np.float32)
    return vectors
