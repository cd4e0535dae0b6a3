import numpy as np
import pyarrow as pa
import pytest

from lib.engines.byte_tokenizer import ByteTokenizer
from lib.errors import ConfigError
from lib.tasks.passage_columns import read_passages
from lib.tasks.retrieving import Retrieve, RetrieveConfig
from lib.types import Found, Passage, slot_column
from tests.tasks.tables import rows

TOKENS = ByteTokenizer()
FOUND = [
    Passage(id="d:0-3", text="one", score=0.5, document="d", start=0, stop=3),
    Passage(id="x", text="two", score=0.25),
]


class Remembers:
    """A search engine that finds the same for everyone, and fails for the last query."""

    memory = 0

    def search(self, queries: list[str], vectors: np.ndarray | None, k: int) -> Found:
        self.asked = (queries, vectors, k)
        return Found([FOUND[:k] for _ in queries[:-1]] + [[]], {len(queries) - 1: "unreachable"})


def test_passages_become_columns() -> None:
    task, engine = Retrieve(RetrieveConfig(k=2)), Remembers()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 0.0, 0.0, 1.0], pa.float32()), 2)
    prepared = task.prepare(rows({"question": [["why"], ["how", "so"]]}, vector=vectors), TOKENS, 10)
    result = task.read(prepared, task.ask(engine, prepared))
    queries, asked, k = engine.asked
    assert (queries, k) == (["why", "how so"], 2)
    assert asked is not None
    assert asked.tolist() == [[1, 0], [0, 1]]
    assert result.errors == {1: "unreachable"}
    row = result.columns.to_pylist()[0]
    assert row == {
        "question": "why",
        "passages": ["one", "two"],
        "passage_ids": ["d:0-3", "x"],
        "scores": [0.5, 0.25],
        "documents": ["d", None],
        "starts": [0, None],
        "stops": [3, None],
        "tokens": 0,
    }


def test_queries_without_vectors() -> None:
    task, engine = Retrieve(RetrieveConfig()), Remembers()
    prepared = task.prepare(rows({"question": [["why"]]}), TOKENS, 10)
    task.ask(engine, prepared)
    assert engine.asked[1] is None


def test_a_query_without_a_vector_among_others_is_named() -> None:
    vectors = pa.array([[1.0, 0.0], None], pa.list_(pa.float32(), 2))
    with pytest.raises(ValueError, match=r"^column vector: is empty \(null\)$"):
        Retrieve(RetrieveConfig()).prepare(rows({"question": [["why"], ["how"]]}, vector=vectors), TOKENS, 10)


def test_what_is_written_is_read_again() -> None:
    task, engine = Retrieve(RetrieveConfig(k=2)), Remembers()
    prepared = task.prepare(rows({"question": [["why"], ["how"]]}), TOKENS, 10)
    table = task.read(prepared, task.ask(engine, prepared)).columns
    again = table.append_column(slot_column("passages"), table["passages"]).slice(0, 1)
    assert read_passages(again) == [FOUND]
    assert [p.id for p in read_passages(again.select([slot_column("passages")]))[0]] == ["0", "1"]


def test_k_must_be_positive() -> None:
    with pytest.raises(ConfigError, match=r"retrieve\.k=0"):
        RetrieveConfig(k=0)
