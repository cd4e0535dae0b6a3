"""Lines of a batch file of chats, one of each kind, that vLLM's own `run_batch` is asked as well."""

from typing import Any

HI = [{"role": "user", "content": "hi"}]
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
COUNT = [{"role": "user", "content": "Count: one,"}, {"role": "assistant", "content": "two,"}]
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "enum": [1, 2]}},
    "required": ["n"],
    "additionalProperties": False,
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "now",
        "description": "What time is it?",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string", "enum": ["UTC", "CET"]}},
                       "required": ["zone"], "additionalProperties": False},
        "strict": True,
    },
}  # fmt: skip
CALLED = [
    {"role": "user", "content": "What time is it?"},
    {"role": "assistant", "content": None,
     "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "now", "arguments": '{"zone": "UTC"}'}}]},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "12:00"}]},
]  # fmt: skip
TOOL_TEMPLATE = """\
{%- if tools %}<|im_start|>system
Tools:{% for tool in tools %} {{ tool | tojson }}{% endfor %}

A call is <tool_call>{"name": …, "arguments": …}</tool_call>.<|im_end|>
{% endif %}
{%- for m in messages %}<|im_start|>{{ m['role'] }}{% if m.get('name') %} {{ m['name'] }}{% endif %}

{{ m['content'] }}
{%- for call in m.get('tool_calls', []) %}<tool_call>{{ call['function'] | tojson }}</tool_call>{% endfor %}<|im_end|>
{% endfor %}
{%- if reasoning_effort %}<|im_start|>system
Effort: {{ reasoning_effort }}.<|im_end|>
{% endif %}
{%- if shout %}<|im_start|>system
SHOUT.<|im_end|>
{% endif %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}"""


def chat(**keys: Any) -> dict[str, Any]:
    return {"model": "smollm2", "messages": HI, "max_tokens": 6, "temperature": 0, **keys}


def france(**keys: Any) -> dict[str, Any]:
    return chat(messages=FRANCE, **{"max_tokens": 20, **keys})


def forced(choice: Any, **keys: Any) -> dict[str, Any]:
    return chat(messages=CALLED[:1], tools=[CLOCK], tool_choice=choice, max_tokens=40, **keys)


ALIKE: dict[str, dict[str, Any]] = {
    "plain": chat(),
    "new name of max_tokens": {"model": "smollm2", "messages": HI, "max_completion_tokens": 3, "temperature": 0},
    "system": chat(messages=[{"role": "system", "content": "Say no."}, *HI]),
    "developer": chat(messages=[{"role": "developer", "content": "Say no."}, *HI]),
    "logprobs": chat(logprobs=True),
    "top_logprobs": chat(logprobs=True, top_logprobs=3),
    "logprobs of a text that ends": france(logprobs=True, top_logprobs=2),
    "logprobs with a bias": france(logprobs=True, logit_bias={"7042": -100}),
    "frequency_penalty": chat(messages=HI * 3, frequency_penalty=2, max_tokens=24),
    "negative frequency_penalty": france(frequency_penalty=-2, max_tokens=12, ignore_eos=True),
    "presence_penalty": france(presence_penalty=2, max_tokens=24, ignore_eos=True),
    "negative presence_penalty": france(presence_penalty=-2),
    "repetition_penalty": france(repetition_penalty=1.3),
    "logit_bias": france(logit_bias={"7042": -100, "504": -100}),
    "logit_bias upwards": chat(logit_bias={"28": 100}),
    "stop": france(stop="Paris"),
    "several stops": france(stop=["zebra", " is", "Paris"]),
    "include_stop_str_in_output": france(stop=["Paris"], include_stop_str_in_output=True),
    "stop_token_ids": france(stop_token_ids=[314]),
    "min_tokens": france(min_tokens=16, max_tokens=24),
    "min_tokens with a stop": france(stop=["France", "phrase"], min_tokens=9, max_tokens=24),
    "ignore_eos": france(ignore_eos=True),
    "greedy whatever is said of draws": chat(top_p=0.5, top_k=3, min_p=0.1, seed=3),
    "a draw of one": chat(temperature=1, top_k=1, seed=3),
    "several draws of one": chat(temperature=0.7, top_k=1, n=2),
    "json_schema": chat(
        max_tokens=30, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
    ),
    "json_object": chat(max_tokens=12, response_format={"type": "json_object"}),
    "text": chat(response_format={"type": "text"}),
    "choice": chat(structured_outputs={"choice": ["yes", "no"]}),
    "regex": chat(structured_outputs={"regex": "[0-9]{3}"}),
    "last turn by the assistant": chat(messages=COUNT),
    "continue_final_message": chat(messages=COUNT, add_generation_prompt=False, continue_final_message=True),
    "no generation prompt": chat(add_generation_prompt=False),
    "two turns of the user": chat(messages=HI * 2),
    "first turn by the assistant": chat(messages=[COUNT[1], *HI]),
    "parts": chat(messages=[{"role": "user", "content": [{"type": "text", "text": text} for text in ("Sum:", "1")]}]),
    "an answer sent back": chat(
        messages=[*HI, {"role": "assistant", "content": "hello", "tool_calls": [], "annotations": [], "refusal": None,
                        "audio": None, "function_call": None}, *HI]
    ),
    "name": chat(messages=[{"role": "user", "content": "hi", "name": "Bo"}]),
    "chat_template_kwargs": chat(chat_template_kwargs={"shout": True}),
    "enable_thinking": chat(chat_template_kwargs={"enable_thinking": False}),
    "reasoning_effort": chat(reasoning_effort="low"),
    "no reasoning_effort": chat(reasoning_effort="none"),
    "tools": chat(messages=CALLED[:1], tools=[{"type": "function", "function": {"name": "now"}}], max_tokens=12),
    "tools that are not to be called": chat(tools=[CLOCK], tool_choice="none"),
    "a tool that has to be called": forced("required"),
    "one that is named": forced({"type": "function", "function": {"name": "now"}}),
    "one call at most": forced("required", parallel_tool_calls=False),
    "an answered call": chat(messages=CALLED, tools=[CLOCK]),
    "labels": chat(user="me", metadata={"a": "b"}),
}  # fmt: skip
"""Kinds of lines that both answer, and alike."""

BOTH_REFUSE: dict[str, dict[str, Any]] = {
    "top_p": chat(top_p=3, temperature=1),
    "n of greedy texts": chat(n=2),
    "too many top_logprobs": chat(logprobs=True, top_logprobs=21),
    "a bias of no token": chat(logit_bias={"60000": 1}),
    "max_tokens": chat(max_tokens=0),
    "a prompt that is too long": chat(messages=[{"role": "user", "content": "word " * 1100}]),
    "both ways to end a chat": chat(messages=COUNT, continue_final_message=True),
}

OURS_REFUSES: dict[str, dict[str, Any]] = {
    "an unknown key": chat(frobnicate=1),
    "echo": chat(echo=True),
    "skip_special_tokens": chat(skip_special_tokens=False),
    "a stronger bias": chat(logit_bias={"28": -200}),
    "both names of max_tokens": chat(max_completion_tokens=3),
}
"""What vLLM passes over, or does, and a body of ours may not ask."""

OTHERWISE: dict[str, dict[str, Any]] = {
    "a control token that is spelled out": chat(messages=[{"role": "user", "content": "hi<|im_end|>"}]),
}
"""What both answer, each in its own way: texts are data here."""
