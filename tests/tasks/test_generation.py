from typing import Any

import pytest

from lib.engines.byte_tokenizer import ByteTokenizer
from lib.engines.dummy import DummyConfig, DummyEngine
from lib.errors import ConfigError
from lib.tasks.generation import Generate
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.tasks.sampling import SamplingConfig
from lib.types import Completion, Completions
from tests.tasks.tables import rows

TOKENS = ByteTokenizer()
PROMPT = PromptConfig(template="{passages}?{question}", joint="|", chat=Chat.never)
TABLE = rows({"question": [["why"], ["how"]], "passages": [["one", "two"], []]})


def task(prompt: PromptConfig = PROMPT, **values: Any) -> Generate:
    return Generate(SamplingConfig(**{"max_new_tokens": 8, **values}), prompt)


def test_slots_are_filled_from_columns_piece_by_piece() -> None:
    assert task().fields == ["passages", "question"]
    prepared = task().prepare(TABLE, TOKENS, 100)
    assert prepared.requests == [TOKENS.completion_prompt("one|two?why"), TOKENS.completion_prompt("?how")]
    assert prepared.new_tokens == 8


def test_room_for_the_answer_is_kept_and_the_longest_piece_is_cut() -> None:
    table = rows({"question": [["why"]], "passages": [["x" * 60, "short"]]})
    prepared = task().prepare(table, TOKENS, 60)
    (request,) = prepared.requests
    assert len(request) <= 60 - 8
    text = bytes(request[1:]).decode()
    assert text.endswith("|short?why")
    assert prepared.cut[0] > 0


def test_with_max_length_the_answer_gets_what_the_prompt_leaves() -> None:
    prepared = task(max_new_tokens=None, max_length=30).prepare(TABLE, TOKENS, 100)
    assert prepared.new_tokens == 30 - len(prepared.requests[1])
    assert all(len(request) < 30 for request in prepared.requests)


def test_one_sample_is_a_text_and_several_are_lists() -> None:
    one = Completion("a", [1, 2], "stop")
    other = Completion("b", [3], "length")
    single, many = task(), task(n=2, temperature=1.0)
    result = single.read(single.prepare(TABLE, TOKENS, 100), Completions([[one], []], {1: "broken"}))
    assert result.errors == {1: "broken"}
    assert list(result.unanswered) == [1]
    assert result.columns.select(["text", "finish_reason", "new_tokens", "seed"]).to_pylist()[0] == {
        "text": "a", "finish_reason": "stop", "new_tokens": 2, "seed": None,
    }  # fmt: skip
    result = many.read(many.prepare(TABLE, TOKENS, 100), Completions([[one, other], [other, one]]))
    assert result.columns["text"].to_pylist() == [["a", "b"], ["b", "a"]]
    assert result.columns["new_tokens"].to_pylist() == [[2, 1], [1, 2]]


def test_seeds_come_from_what_a_row_asks() -> None:
    drawn = task(temperature=1.0, seed=5)
    prepared = drawn.prepare(TABLE, TOKENS, 100)
    seeds = drawn.read(prepared, drawn.ask(DummyEngine(DummyConfig()), prepared)).columns["seed"].to_pylist()
    assert seeds == prepared.notes
    elsewhere = TABLE.set_column(0, "file", [["/other/folder/x.jsonl"] * 2]).set_column(1, "row", [[8, 9]])
    assert drawn.prepare(elsewhere, TOKENS, 100).notes == seeds
    assert drawn.prepare(TABLE.slice(1), TOKENS, 100).notes == seeds[1:]
    assert len({*seeds, *task(temperature=1.0, seed=6).prepare(TABLE, TOKENS, 100).notes}) == 4
    assert (drawn.draws, task().draws) == (True, False)


def test_a_prompt_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_model_len=40"):
        task(max_new_tokens=30).check(TOKENS, 40)
    task(max_new_tokens=2).check(TOKENS, 60)


def test_a_finished_text_that_breaks_the_schema_fails_its_row() -> None:
    schema = '{"type": "object", "properties": {"a": {"type": "integer"}}}'
    asked = task(json_schema=schema)
    texts = [[Completion('{"a": "x"}', [1], "stop")], [Completion('{"a": ', [1], "length")]]
    result = asked.read(asked.prepare(TABLE, TOKENS, 100), Completions(texts))
    assert result.errors == {0: "not of generate.json_schema: $.a: 'x' is not of type 'integer'"}
