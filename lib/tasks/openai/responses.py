"""The bodies of /v1/responses, for texts: what they ask, in the words of a chat.

Left out is what needs a server that remembers (`previous_response_id`, `conversation`), and tools, which
/v1/chat/completions has.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lib.tasks.openai.body_keys import Keys, short
from lib.tasks.openai.sampling_keys import MOST_LOGPROBS, read_sampling
from lib.tasks.openai.text_request import TextRequest
from lib.tasks.openai.turns import Chat, read_turns, told_template

_LOGPROBS = "message.output_text.logprobs"
_OF_CHATS = {"messages", "n", "response_format", "max_tokens", "logprobs"}
_OFF = ("stream", "include_reasoning", "skip_special_tokens", "background", "truncation", "tool_choice",
        "parallel_tool_calls")  # fmt: skip
_TEXTS = ("input_text", "output_text")


def read_response(given: Mapping[str, Any], context: int) -> TextRequest:
    """A body of /v1/responses. context: tokens that the model can take; the limit where the body has none."""
    if wrong := sorted(key for key in _OF_CHATS & given.keys() if given[key] is not None):
        raise ValueError(f"unknown key {wrong[0]!r}: /v1/chat/completions has it, /v1/responses hasn't")
    rest = dict(given)
    own = Keys({key: rest.pop(key, None) for key in ("input", "instructions", "reasoning", "text", "include", "tools")})
    if own.take("tools", list, "a list", []):
        raise ValueError("tools: are supported by /v1/chat/completions alone; ask there")
    turns = _turns(own.take("input", (str, list), "a text or a list of messages"))
    if instructions := own.take("instructions", str, "a text"):
        turns = [{"role": "system", "content": instructions}, *turns]
    reasoning = Keys(own.take("reasoning", dict, "an object", {}))
    effort = reasoning.take("effort", str, "a text")
    reasoning.finish()
    keys = Keys({**rest, "response_format": _format(own)})
    top = keys.whole_within("top_logprobs", 0, MOST_LOGPROBS)
    include = own.texts("include") or []
    if set(include) - {_LOGPROBS}:
        raise ValueError(f"include={short(include)}: only {_LOGPROBS} is supported")
    most = keys.whole("max_output_tokens", context) or 0
    kwargs = keys.take("chat_template_kwargs", dict, "an object", {})
    found, seed = read_sampling(keys, most, (top or 0) if include else None)
    keys.finish(*_OFF)
    chat = Chat(messages=read_turns(turns), told=told_template(kwargs, effort, {}))
    return TextRequest(prompts=[chat], sampling=found, seed=seed)


def _turns(given: str | Sequence[object] | None) -> list[object]:
    """The input as turns of a chat."""
    if not given:
        raise ValueError("input: must be a text or a list of messages, not empty")
    return [{"role": "user", "content": given}] if isinstance(given, str) else [_turn(item) for item in given]


def _turn(item: object) -> object:
    """An item of the input as a turn; what is wrong with it the chat's reader says."""
    if not isinstance(item, dict):
        return item
    if item.get("type", "message") != "message":
        raise ValueError(f"input: items of type {short(item['type'])} are not supported; only messages are")
    turn = {key: value for key, value in item.items() if key not in ("type", "status")}
    if isinstance(turn.get("content"), list):
        turn["content"] = [_part(part) for part in turn["content"]]
    return turn


def _part(part: object) -> object:
    """A part of a content as a chat has it."""
    if isinstance(part, dict) and part.get("type") in _TEXTS:
        return {"type": "text", "text": part.get("text")}
    if isinstance(part, dict) and part.get("type") == "input_image":
        detail = {"detail": part["detail"]} if part.get("detail") is not None else {}
        return {"type": "image_url", "image_url": {"url": part.get("image_url"), **detail}}
    return part


def _format(own: Keys) -> dict[str, Any] | None:
    """`text.format` as a chat's response_format: there a JSON schema lies one level deeper."""
    text = Keys(own.take("text", dict, "an object", {}))
    form: dict[str, Any] | None = text.take("format", dict, "an object")
    text.finish()
    return {**form, "json_schema": form} if form is not None and form.get("type") == "json_schema" else form
