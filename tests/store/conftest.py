"""What tests of the store share: a table of answers, and answers to put into it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lib.data.joining.key_group import KeyGroup
from lib.data.joining.keys import KEY, KEY_TYPE, content_keys
from lib.store.answer_table import AnswerTable
from lib.store.store import Store, StoreConfig
from tests.data.conftest import _lasting, object_store  # noqa: F401

SCHEMA = pa.schema([("score", pa.float64()), ("texts", pa.list_(pa.string())), ("error", pa.string())])
QUESTION = {"task.type": "Reward", "engine.type": "DummyConfig", "engine.seed": 0}


@pytest.fixture
def table(tmp_path: Path) -> AnswerTable:
    """A table without answers, in a store of its own."""
    store = Store.open(StoreConfig(dir=str(tmp_path / "store")))
    assert store is not None
    table = store.table("reward-dummy", QUESTION)
    table.begin()
    return table


def keys_of(numbers: Sequence[int]) -> pa.FixedSizeBinaryArray:
    """The keys of some questions, by their numbers."""
    return content_keys(pa.table({"text": pa.array(map(str, numbers), pa.string())}), ["text"])


def answers_to(numbers: Sequence[int]) -> pa.Table:
    """The answers to some questions: a score that is the question's number, and texts."""
    columns = [
        pa.array(numbers, pa.float64()),
        pa.array([[f"answer {number}", "…"] for number in numbers], pa.list_(pa.string())),
        pa.array([None if number % 3 else "of no use" for number in numbers], pa.string()),
    ]
    return pa.table([keys_of(numbers), *columns], schema=pa.schema([(KEY, KEY_TYPE), *SCHEMA]))


def found_in(table: AnswerTable, numbers: Sequence[int]) -> list[int]:
    """The questions, of some, to which there are answers, having seen that these are right and each is there once."""
    group = KeyGroup(keys_of(numbers), np.arange(len(numbers)))
    found: list[int] = []
    for answers, rows in table.find(group, SCHEMA):
        asked = [numbers[row] for row in rows.tolist()]
        assert answers.equals(answers_to(asked).select(SCHEMA.names))
        found += asked
    assert group.answered == len(set(found))
    return sorted(found)
