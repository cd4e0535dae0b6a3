"""The turns of a chat in a body, and what its template is told, as vLLM's server reads them.

Which roles may follow each other is the template's business: it raises what it can't write.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib.images import Image, read_image
from lib.tasks.openai.body_keys import Keys, short
from lib.types import Message

_ROLES = ("system", "user", "assistant", "tool")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_PRIVATE = {"annotations", "id"}  # of an answer that is sent back: they are about its text
_OF_BODY = {"tools", "documents", "add_generation_prompt", "continue_final_message", "reasoning_effort"}
_OF_RENDERING = {"conversation", "chat_template", "tokenize", "padding", "truncation", "max_length", "return_tensors",
                 "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A chat that is to be answered. told: what its template gets beside the turns, by name.

    generation_prompt: whether the header of the assistant's turn stands at its end.
    """

    messages: Sequence[Message]
    told: Mapping[str, object]
    generation_prompt: bool = True


def read_chat_turns(keys: Keys, told: Mapping[str, object]) -> Chat:
    """The chat of a body of /v1/chat/completions. told: what its template is told of tools. Raises ValueError."""
    messages = read_turns(keys.take("messages", list, "a list of messages"))
    generation_prompt = keys.switch("add_generation_prompt", default=True)
    effort = keys.take("reasoning_effort", str, "a text")
    wanted: dict[str, object] = {
        **told,
        "documents": keys.take("documents", list, "a list of objects"),
        "continue_final_message": keys.switch("continue_final_message"),
    }
    if wanted["continue_final_message"] and generation_prompt:
        raise ValueError("continue_final_message=true: needs add_generation_prompt=false")
    told = told_template(keys.take("chat_template_kwargs", dict, "an object", {}), effort, wanted)
    return Chat(messages=messages, told=told, generation_prompt=generation_prompt)


def told_template(given: Mapping[str, Any], effort: str | None, wanted: Mapping[str, object]) -> dict[str, object]:
    """What a template is told, as vLLM tells it: an effort also says whether the model reasons at all.

    given: the body's chat_template_kwargs. wanted: by the body's other keys; what is None or false is not told.
    Raises ValueError for what the template doesn't decide.
    """
    if taken := sorted(given.keys() & (_OF_BODY | _OF_RENDERING)):
        why = "is a key of the body itself" if taken[0] in _OF_BODY else "can't be said by a body"
        raise ValueError(f"chat_template_kwargs: {taken[0]} {why}; leave it out")
    if effort is not None and effort not in _EFFORTS:
        raise ValueError(f"reasoning_effort={short(effort)}: must be one of {', '.join(_EFFORTS)}")
    reasons = {} if effort is None else {"enable_thinking": effort != "none", "reasoning_effort": effort}
    return {**reasons, **given, **{key: value for key, value in wanted.items() if value}}


def read_turns(given: Sequence[object] | None) -> list[Message]:
    """Turns of chats. Raises ValueError, naming the turn, for one that no template could write."""
    if not given:
        raise ValueError("messages: must be a list of messages")
    return [_turn(message, f"messages: turn {number}") for number, message in enumerate(given, 1)]


def _turn(given: object, where: str) -> Message:
    if not isinstance(given, dict):
        raise ValueError(f"{where} is not an object with role and content")
    turn = {key: value for key, value in given.items() if value not in (None, []) and key not in _PRIVATE}
    role = turn.pop("role", None)
    role = "system" if role == "developer" else role
    if role not in _ROLES:
        raise ValueError(f"{where} has the role {role!r}; it must be {', '.join(_ROLES)} or developer")
    calls = turn.pop("tool_calls", None) if role == "assistant" else None
    parts = _parts(turn.pop("content", [] if role == "assistant" else None), where)
    texts = [part for part in parts if isinstance(part, str)]
    found = Message(role=role, content="\n".join(texts))  # as vLLM joins them
    if len(texts) < len(parts) and role != "user":
        raise ValueError(f"{where}: images in a turn of {role}; only those of the user show any")
    if len(parts) > 1 or len(texts) < len(parts):
        found["parts"] = parts
    if calls is not None:
        found["tool_calls"] = _calls(calls, where)
    if role == "assistant" and (reasoning := turn.pop("reasoning", None) or turn.pop("reasoning_content", None)):
        found["reasoning"] = _text(reasoning, f"{where}: reasoning")
    if role == "tool" and "tool_call_id" in turn:
        found["tool_call_id"] = _text(turn.pop("tool_call_id"), f"{where}: tool_call_id")
    if "name" in turn:
        found["name"] = _text(turn.pop("name"), f"{where}: name")
    if turn:
        raise ValueError(f"{where} has {', '.join(sorted(turn))}, which no chat template reads of a {role} turn")
    return found


def _parts(content: object, where: str) -> list[str | Image]:
    """The texts and images of a content, which is a text or a list of parts."""
    return [_part(part, where) for part in (content if isinstance(content, list) else [content])]


def _part(part: object, where: str) -> str | Image:
    told: dict[str, Any] = part if isinstance(part, dict) else {"type": "text", "text": part}
    image = told.get("image_url")
    if told.get("type") == "image_url" and isinstance(image, dict) and isinstance(image.get("url"), str):
        if image.get("detail", "auto") != "auto":
            raise ValueError(f"{where}: detail={short(image['detail'])}: images are seen as they are; leave it out")
        try:
            return read_image(image["url"])
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if told.get("type") != "text" or not isinstance(told.get("text"), str):
        raise ValueError(f"{where}: its content is neither a text nor a list of parts of type text or image_url")
    return str(told["text"])


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a text")
    return value


def _calls(given: object, where: str) -> list[Mapping[str, object]]:
    """Calls of tools in an assistant's turn, their arguments as an object: templates want these, not JSON text."""
    calls: list[Mapping[str, object]] = []
    for call in given if isinstance(given, list) else [given]:
        told: dict[str, Any] = call if isinstance(call, dict) else {}
        function: dict[str, Any] = told["function"] if isinstance(told.get("function"), dict) else {}
        name = function.get("name")
        if not isinstance(name, str) or told.get("type", "function") != "function":
            raise ValueError(f"{where}: tool_calls must be a list of calls of functions, each with its name")
        arguments = function.get("arguments") or {}
        try:
            read = json.loads(arguments) if isinstance(arguments, str) else arguments
        except ValueError as error:
            raise ValueError(f"{where}: the arguments of {name} are no JSON ({error})") from None
        if not isinstance(read, dict):
            raise ValueError(f"{where}: the arguments of {name} are no JSON object")
        named = {"id": told["id"]} if "id" in told else {}
        calls.append({**named, "function": {"arguments": read, "name": name}, "type": "function"})  # vLLM's own order
    return calls
