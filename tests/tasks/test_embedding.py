from typing import Any

import numpy as np
import pytest

from lib.engines.byte_tokenizer import ByteTokenizer
from lib.engines.dummy import WIDTH, DummyConfig, DummyEngine
from lib.errors import ConfigError
from lib.tasks.embedding import Embed, EmbedConfig, Role
from lib.types import Answers
from tests.tasks.tables import concluded, rows

TOKENS = ByteTokenizer()


def embed(text: str = "{text}", prefix: str = "", **values: Any) -> Embed:
    return Embed(EmbedConfig(text=text, **values), prefix, WIDTH)


def test_the_text_is_filled_from_fields_and_stands_behind_the_prefix() -> None:
    task = embed("{title}: {text}", prefix="query: ")
    assert task.fields == ["text", "title"]
    table = rows({"text": [["body", "more"]], "title": [["head"]]})
    prepared = task.prepare(table, TOKENS, 100)
    assert prepared.requests == [TOKENS.embedding_prompt("query: head: body more")]
    result = concluded(task, table, prepared, task.ask(DummyEngine(DummyConfig()), prepared)).columns
    assert result["text"].to_pylist() == ["head: body more"]
    assert result["tokens"].to_pylist() == [len(prepared.requests[0])]


def test_a_long_text_is_cut_at_its_end() -> None:
    task = embed(prefix="p: ")
    prepared = task.prepare(rows({"text": [["abcdefghij"], ["ab"]]}), TOKENS, 10)
    assert prepared.requests == [TOKENS.embedding_prompt("p: abcde"), TOKENS.embedding_prompt("p: ab")]
    assert prepared.cut == [5, 0]


def test_matryoshka_keeps_the_first_dimensions_at_length_one() -> None:
    task = embed(dimensions=4)
    prepared = task.prepare(rows({"text": [["a"], ["b"], ["a"]]}), TOKENS, 10)
    whole = DummyEngine(DummyConfig()).embed(prepared.requests)
    vectors = np.stack(task.read(prepared, whole).columns["vector"].to_pylist())
    expected = whole.values[:, :4] / np.linalg.norm(whole.values[:, :4], axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)
    assert task.schema.field("vector").type.list_size == 4


def test_a_row_without_a_vector_has_its_error() -> None:
    task = embed()
    prepared = task.prepare(rows({"text": [["a"], ["b"]]}), TOKENS, 10)
    answers = Answers(np.full((2, 0), np.nan, np.float32), {0: "one", 1: "two"})
    result = task.read(prepared, answers)
    assert result.errors == {0: "one", 1: "two"}
    assert result.columns.num_rows == 2


def test_what_changes_results_is_identity() -> None:
    same = embed().identity()
    assert embed().identity() == same
    for other in (embed(prefix="query: "), embed(role=Role.query), embed(dimensions=2), embed("{text}.")):
        assert other.identity() != same


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="names no field"):
        EmbedConfig(text="hello")
    with pytest.raises(ConfigError, match="must be at least 1"):
        EmbedConfig(dimensions=0)
    with pytest.raises(ConfigError, match=rf"dimensions={WIDTH + 1}: the engine's vectors have {WIDTH}"):
        embed(dimensions=WIDTH + 1).check(TOKENS, 10)
    with pytest.raises(ConfigError, match="max_model_len=10: the prompt before a text alone has 12"):
        embed(prefix="0123456789").check(TOKENS, 10)
