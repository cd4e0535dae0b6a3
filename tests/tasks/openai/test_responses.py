"""Bodies of /v1/responses: read as the chats that they are."""

import json
from typing import Any

import pytest

from lib.images import images_of
from lib.tasks.openai.bodies import read_chat
from lib.tasks.openai.responses import read_response
from lib.types import Sampling
from tests.pictures import data_url, picture

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
ITEMS = [
    {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
    {"type": "message", "id": "m1", "status": "completed", "role": "assistant",
     "content": [{"type": "output_text", "text": "c", "annotations": []}]},
    {"role": "user", "content": "d"},
]  # fmt: skip


def test_what_a_response_asks_is_what_a_chat_does() -> None:
    found = read_response(
        {"input": ITEMS, "instructions": "s", "max_output_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 3,
         "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}},
         "include": ["message.output_text.logprobs"], "top_logprobs": 2, "store": False, "tools": [],
         "tool_choice": "auto", "parallel_tool_calls": True, "truncation": "disabled"},
        300,
    )  # fmt: skip
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
    ]
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    expected = read_chat(
        {"messages": messages, "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 3, "reasoning_effort": "low",
         "response_format": form, "logprobs": True, "top_logprobs": 2},
        300,
    )  # fmt: skip
    assert found == expected
    assert json.loads(found.sampling.json_schema or "") == SCHEMA


def test_images_are_those_of_chats() -> None:
    url = data_url(picture(1))
    content = [{"type": "input_image", "image_url": url, "detail": "auto"}, {"type": "input_text", "text": "a"}]
    same = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "a"}]
    found = read_response({"input": [{"role": "user", "content": content}]}, 300)
    assert found == read_chat({"messages": [{"role": "user", "content": same}]}, 300)
    assert images_of(found.prompts[0].messages)  # type: ignore[union-attr]


def test_a_text_is_a_turn_of_the_user() -> None:
    assert read_response({"input": "hi"}, 300) == read_chat({"messages": [{"role": "user", "content": "hi"}]}, 300)
    assert read_response({"input": "hi"}, 300).sampling == Sampling(max_tokens=300, temperature=1.0)
    assert read_response({"input": "hi", "top_logprobs": 3}, 300).sampling.logprobs is None  # not included


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"input": ""}, "input: must be a text or a list of messages, not empty"),
        ({"input": [{"type": "function_call_output"}]}, 'items of type "function_call_output" are not supported'),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "neither a text nor a list of parts"),
        ({"input": ["hi"]}, "turn 1 is not an object"),
        ({"n": 2}, "unknown key 'n': /v1/chat/completions has it"),
        ({"messages": []}, "unknown key 'messages'"),
        ({"previous_response_id": "resp_1"}, "unknown key 'previous_response_id'"),
        ({"tools": [{"type": "function"}]}, "tools: are supported by /v1/chat/completions alone"),
        ({"tool_choice": "required"}, 'tool_choice="required": there are no tools'),
        ({"include": ["reasoning.encrypted_content"]}, "only message.output_text.logprobs is supported"),
        ({"text": {"format": {"type": "grammar"}}}, "type must be text, json_object or json_schema"),
        ({"text": {"verbosity": "low"}}, "unknown key 'verbosity'"),
        ({"reasoning": {"summary": "auto"}}, "unknown key 'summary'"),
        ({"max_output_tokens": 0}, "max_tokens=0: must be at least 1"),
        ({"background": True}, "background=true: a batch is not waited for anyway"),
        ({"truncation": "auto"}, "requests are not cut"),
    ],
)
def test_responses_that_cannot_be_given(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_response({"input": "hi", **more}, 300)
