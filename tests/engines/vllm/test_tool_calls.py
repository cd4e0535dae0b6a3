"""Calls of tools in texts, as vLLM's parsers read them."""

import json

import pytest

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.vllm.tool_calls import ToolReader
from lib.errors import ConfigError
from lib.types import Completion, ToolCall

CLOCK = {"type": "function", "function": {"name": "now", "description": None, "parameters": {"type": "object"}}}
CALL = '<tool_call>{"name": "now", "arguments": {"zone": "夜"}}</tool_call>'


@pytest.fixture(scope="module")
def reader(smollm2: HuggingFaceTokenizer) -> ToolReader:
    return ToolReader("hermes", smollm2.huggingface)


def read(reader: ToolReader, text: str, choice: object = "auto", parallel: bool = True) -> Completion:
    tools = {"tools": [CLOCK], "tool_choice": choice, "parallel_tool_calls": parallel}
    return reader.request(json.dumps(tools), {}).read(Completion(text, [1, 2], "stop"))


def test_calls_are_taken_out_of_a_text(reader: ToolReader) -> None:
    call = ToolCall("now", '{"zone": "夜"}')
    assert read(reader, f"Sure.{CALL}{CALL}") == Completion("Sure.", [1, 2], "tool_calls", None, [call, call])
    assert read(reader, f"{CALL}{CALL}", parallel=False) == Completion("", [1, 2], "tool_calls", None, [call])
    assert read(reader, "It is late.") == Completion("It is late.", [1, 2], "stop", None, [])
    broken = CALL.replace('"now",', "")
    assert read(reader, broken) == Completion(broken, [1, 2], "stop", None, [])


def test_texts_are_held_to_calls_where_one_is_asked_for(reader: ToolReader) -> None:
    tools = {"tools": [CLOCK], "parallel_tool_calls": True}
    free = reader.request(json.dumps({**tools, "tool_choice": "auto"}), {}).params
    assert free == {"structured_outputs": None, "skip_special_tokens": False}
    forced = reader.request(json.dumps({**tools, "tool_choice": "required"}), {}).params
    assert "now" in (forced["structured_outputs"].structural_tag or json.dumps(forced["structured_outputs"].json))
    kept = reader.request(json.dumps({**tools, "tool_choice": "auto"}), {"regex": "a+"}).params
    assert kept["structured_outputs"].regex == "a+"


def test_an_unknown_parser_is_refused_with_those_there_are(smollm2: HuggingFaceTokenizer) -> None:
    with pytest.raises(ConfigError, match=r"engine\.tool_parser=herms: vLLM's parsers are .*hermes"):
        ToolReader("herms", smollm2.huggingface)
