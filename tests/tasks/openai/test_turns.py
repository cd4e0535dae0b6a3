"""Turns of chats in bodies: what templates get of them, and what no template could write."""

from typing import Any

import pytest

from lib.images import read_image
from lib.tasks.openai.body_keys import Keys
from lib.tasks.openai.turns import Chat, read_chat_turns, read_turns
from tests.pictures import data_url, picture

USER, ASSISTANT = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
CALL = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": '{"zone": "UTC"}'}}


def chat(messages: object = (USER,), **more: Any) -> Chat:
    return read_chat_turns(Keys({"messages": list(messages), **more}), {})  # type: ignore[call-overload]


def test_several_texts_are_joined_as_vllm_does_and_kept_apart() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert read_turns([{"role": "developer", "content": "s"}, {"role": "user", "content": parts, "refusal": None}]) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a\nb", "parts": ["a", "b"]},
    ]
    assert read_turns([{"role": "user", "content": parts[:1]}]) == [USER]


def test_images_stand_between_texts() -> None:
    url = data_url(picture(1))
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}]
    image = read_image(url)
    assert read_turns([{"role": "user", "content": [*parts, parts[0]]}]) == [
        {"role": "user", "content": "a\na", "parts": ["a", image, "a"]}
    ]
    assert read_turns([{"role": "user", "content": parts[1:]}]) == [{"role": "user", "content": "", "parts": [image]}]


def shown(url: object, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url, **more}}]


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"role": "user", "content": shown("http://x.org/a.png")}, "turn 1: image http://x.org/a.png: must be a data:"),
        ({"role": "user", "content": shown("data:image/png;base64,?")}, "turn 1: image .*: is no base64"),
        ({"role": "user", "content": shown(data_url(picture(1)), detail="low")}, 'turn 1: detail="low": images are'),
        ({"role": "user", "content": shown(None)}, "parts of type text or image_url"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "parts of type text or image_url"),
        ({"role": "system", "content": shown(data_url(picture(1)))}, "turn 1: images in a turn of system"),
        ({"role": "assistant", "content": shown(data_url(picture(1)))}, "turn 1: images in a turn of assistant"),
    ],
)
def test_images_that_no_model_could_see(turn: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_turns([turn])


def test_any_order_of_turns_is_the_templates_business() -> None:
    assert read_turns([ASSISTANT, USER, USER, ASSISTANT]) == [ASSISTANT, USER, USER, ASSISTANT]


def test_an_answer_may_be_sent_back_as_it_came() -> None:
    sent = {
        "role": "assistant", "content": "b", "refusal": None, "tool_calls": [], "annotations": [{"type": "url"}],
        "audio": None, "function_call": None, "id": "x", "reasoning_content": "hm",
    }  # fmt: skip
    assert read_turns([USER, sent]) == [USER, {**ASSISTANT, "reasoning": "hm"}]


def test_calls_of_tools_have_their_arguments_as_objects() -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL, {"function": {"name": "x"}}]}
    answered = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "12:00"}], "name": "now"}
    found = read_turns([USER, called, answered])
    assert found[1]["content"] == ""
    assert found[1]["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "now", "arguments": {"zone": "UTC"}}},
        {"type": "function", "function": {"name": "x", "arguments": {}}},
    ]
    assert list(found[1]["tool_calls"][0]["function"]) == ["arguments", "name"]  # type: ignore[call-overload]
    assert found[2] == {"role": "tool", "tool_call_id": "c1", "content": "12:00", "name": "now"}


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"role": "function", "content": "x"}, "turn 1 has the role 'function'"),
        ({"content": "x"}, "turn 1 has the role None"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, "turn 1 has tool_calls, which no chat template reads"),
        ({"role": "user", "content": "x", "name": 3}, "turn 1: name must be a text"),
        ({"role": "assistant", "content": "x", "audio": {"id": "1"}}, "turn 1 has audio, which no"),
        ({"role": "assistant", "refusal": "no"}, "turn 1 has refusal, which no"),
        ({"role": "assistant", "tool_calls": [{"type": "custom"}]}, "must be a list of calls of functions"),
        ({"role": "assistant", "tool_calls": ["x"]}, "must be a list of calls of functions"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "x", "arguments": "{"}}]}, "are no JSON"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "x", "arguments": "[1]"}}]}, "are no JSON object"),
        ({"role": "tool", "content": None}, "turn 1: its content is neither"),
    ],
)
def test_turns_that_no_template_could_write(turn: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_turns([turn])


def test_what_the_template_is_told() -> None:
    assert chat() == Chat(messages=[USER], told={})  # type: ignore[list-item]
    assert chat(chat_template_kwargs={"enable_thinking": False, "x": [1]}).told == {"enable_thinking": False, "x": [1]}
    assert chat(reasoning_effort="low").told == {"enable_thinking": True, "reasoning_effort": "low"}
    assert chat(reasoning_effort="none").told == {"enable_thinking": False, "reasoning_effort": "none"}
    told = chat(reasoning_effort="low", chat_template_kwargs={"enable_thinking": False}).told
    assert told == {"enable_thinking": False, "reasoning_effort": "low"}
    assert chat(documents=[{"title": "t", "text": "x"}]).told == {"documents": [{"title": "t", "text": "x"}]}
    going_on = chat([USER, ASSISTANT], continue_final_message=True, add_generation_prompt=False)
    assert (going_on.generation_prompt, going_on.told) == (False, {"continue_final_message": True})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"continue_final_message": True}, "continue_final_message=true: needs add_generation_prompt=false"),
        ({"reasoning_effort": "huge"}, 'reasoning_effort="huge": must be one of none, minimal'),
        ({"chat_template_kwargs": {"tools": []}}, "chat_template_kwargs: tools is a key of the body itself"),
        ({"chat_template_kwargs": {"chat_template": "x"}}, "chat_template can't be said by a body"),
        ({"add_generation_prompt": 1}, "must be true or false"),
    ],
)
def test_what_a_template_cannot_be_told(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chat(**more)
