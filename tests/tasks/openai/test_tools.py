"""Tools in chats' bodies: what the template is shown, and what the engine is told."""

import json
from typing import Any

import pytest

from lib.engines.dummy import DummyConfig
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.engines.vllm.vllm_config import VllmConfig
from lib.errors import ConfigError
from lib.tasks.openai.bodies import read_chat
from lib.tasks.openai.turns import Chat

CLOCK = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
SHOWN = {"type": "function", "function": {"name": "now", "description": None, "parameters": {"type": "object"}}}
NAMED = {"type": "function", "function": {"name": "now"}}


def chat(**more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hi"}], **more}


@pytest.mark.parametrize("choice", [None, "auto", "required", NAMED])
def test_tools_are_shown_to_the_template_and_told_to_the_engine(choice: object) -> None:
    asked = read_chat(chat(tools=[CLOCK], tool_choice=choice, parallel_tool_calls=False), 300)
    (prompt,) = asked.prompts
    assert isinstance(prompt, Chat)
    assert prompt.told == {"tools": [SHOWN]}
    assert json.loads(asked.sampling.tools or "") == {
        "tools": [SHOWN], "tool_choice": choice or "auto", "parallel_tool_calls": False,
    }  # fmt: skip


def test_tools_that_are_not_to_be_called_are_only_shown() -> None:
    asked = read_chat(chat(tools=[CLOCK], tool_choice="none"), 300)
    assert asked.prompts[0].told == {"tools": [SHOWN]}  # type: ignore[union-attr]
    assert asked.sampling.tools is None
    for more in ({"tools": []}, {"tool_choice": "none"}, {"tools": None, "tool_choice": "auto"}):
        nothing = read_chat(chat(**more), 300)
        assert nothing.sampling.tools is None
        assert not nothing.prompts[0].told  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools: number 1 is no tool of type function"),
        ({"tools": [CLOCK, {"function": {}}]}, "tools: number 2 is a function without a name"),
        ({"tools": [{"function": {"name": "x", "x": 1}}]}, "tools: number 1: unknown key 'x'"),
        ({"tools": [{"function": {"name": "x", "parameters": []}}]}, "number 1: parameters=.*must be a JSON schema"),
        ({"tools": [CLOCK], "tool_choice": "any"}, 'tool_choice="any": must be none, auto, required'),
        ({"tools": [CLOCK], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "names no function"),
        ({"tool_choice": "required"}, "tool_choice=required: there are no tools"),
        ({"tool_choice": NAMED}, "names no function of tools"),
        ({"functions": [{}]}, "functions=.*use these"),
        (
            {"tools": [CLOCK], "tool_choice": "required", "structured_outputs": {"choice": ["a"]}},
            "tool_choice: a call of a tool keeps to what the tool wants",
        ),
    ],
)
def test_tools_that_cannot_be(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_chat(chat(**more), 300)


def test_which_engine_reads_calls() -> None:
    sampling = read_chat(chat(tools=[CLOCK]), 300).sampling
    with pytest.raises(ConfigError, match="a transformers engine reads no calls of tools; use a vLLM engine"):
        TransformersConfig(model="x").check_sampling(sampling)
    with pytest.raises(ConfigError, match=r"set engine\.tool_parser \(hermes, say\)"):
        VllmConfig(model="x").check_sampling(sampling)
    VllmConfig(model="x", tool_parser="hermes").check_sampling(sampling)
    DummyConfig().check_sampling(sampling)
