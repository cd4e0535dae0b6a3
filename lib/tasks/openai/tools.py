"""The tools of a chat's body: what its template shows of them, and what the engine is told."""

import json
from dataclasses import dataclass
from typing import Any

from lib.tasks.openai.body_keys import Keys, short

_FREE, _FORCED = ("none", "auto"), "required"


@dataclass(frozen=True, kw_only=True)
class Tools:
    """shown: functions for the chat template, as vLLM's server gives them to it. calls: as of Sampling.tools.

    forced: whether the answer has to be a call.
    """

    shown: list[dict[str, Any]]
    calls: str | None
    forced: bool


def read_tools(keys: Keys) -> Tools:
    """The tools of a body, if it has any. Raises ValueError for what is no function, or a choice of none of them."""
    given = keys.take("tools", list, "a list of functions", [])
    shown = [_function(tool, f"tools: number {number}") for number, tool in enumerate(given, 1)]
    choice = keys.take("tool_choice", (str, dict), "a text or an object", "auto" if shown else "none")
    parallel = keys.switch("parallel_tool_calls", default=True)
    names = [tool["function"]["name"] for tool in shown]
    if isinstance(choice, str) and choice not in (*_FREE, _FORCED):
        raise ValueError(f"tool_choice={short(choice)}: must be none, auto, required or a function of tools")
    if isinstance(choice, dict) and _named(choice) not in names:
        raise ValueError(f"tool_choice={short(choice)}: names no function of tools")
    if choice == _FORCED and not shown:
        raise ValueError("tool_choice=required: there are no tools")
    calls = {"tools": shown, "tool_choice": choice, "parallel_tool_calls": parallel}
    asked = bool(shown) and choice != "none"
    return Tools(
        shown=shown,
        calls=json.dumps(calls, ensure_ascii=False) if asked else None,
        forced=choice not in _FREE,
    )


def _named(choice: dict[str, Any]) -> object:
    function = choice.get("function") if choice.get("type") == "function" else None
    return function.get("name") if isinstance(function, dict) else None


def _function(given: object, where: str) -> dict[str, Any]:
    if (
        not isinstance(given, dict)
        or given.get("type", "function") != "function"
        or given.keys() - {"type", "function"}
    ):
        raise ValueError(f"{where} is no tool of type function")
    function = given.get("function")
    keys = Keys(function if isinstance(function, dict) else {})
    try:
        name = keys.take("name", str, "a text")
        shown = {
            "name": name,
            "description": keys.take("description", str, "a text"),
            "parameters": keys.take("parameters", dict, "a JSON schema"),
        }
        strict = keys.take("strict", bool, "true or false")
        keys.finish()
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not name:
        raise ValueError(f"{where} is a function without a name")
    return {"type": "function", "function": {**shown, **({} if strict is None else {"strict": strict})}}
