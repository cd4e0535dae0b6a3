"""The bodies of /v1/chat/completions and /v1/completions.

The formats are those of OpenAI's API reference, and of vLLM's server where it adds to them. `model` is recorded, and
chooses no engine; keys that only label a request (`user`, `metadata` …) have no effect here as there.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lib.tasks.openai.body_keys import Keys
from lib.tasks.openai.sampling_keys import read_chat_logprobs, read_completion_logprobs, read_sampling
from lib.tasks.openai.text_request import TextRequest
from lib.tasks.openai.tools import read_tools
from lib.tasks.openai.turns import read_chat_turns

_COMPLETION_TOKENS = 16  # OpenAI's default of max_tokens at /v1/completions
_OFF = ("stream", "include_reasoning", "use_beam_search", "skip_special_tokens", "echo")
_OFF_CHAT = (*_OFF, "functions", "modalities", "add_special_tokens")
_OFF_COMPLETION = (*_OFF, "best_of", "suffix")


def read_chat(given: Mapping[str, Any], context: int) -> TextRequest:
    """A body of /v1/chat/completions. context: tokens that the model can take; the limit where the body has none."""
    keys = Keys(given)
    tools = read_tools(keys)
    chat = read_chat_turns(keys, {"tools": tools.shown})
    most = [keys.whole(key, None) for key in ("max_completion_tokens", "max_tokens")]
    if None not in most:
        raise ValueError("max_tokens is the old name of max_completion_tokens; give one of them")
    limit = next((limit for limit in most if limit is not None), context)
    found, seed = read_sampling(keys, limit, read_chat_logprobs(keys))
    keys.finish(*_OFF_CHAT)
    if tools.forced and found.constrained:
        raise ValueError("tool_choice: a call of a tool keeps to what the tool wants; leave out response_format")
    return TextRequest(prompts=[chat], sampling=replace(found, tools=tools.calls), seed=seed)


def read_completion(given: Mapping[str, Any], context: int) -> TextRequest:
    """A body of /v1/completions, with one prompt or several. max_tokens is 16 where the body has none, as with OpenAI.

    context: has no effect, since there always is a limit.
    """
    keys = Keys(given)
    prompts = keys.texts("prompt")
    if not prompts or "" in prompts:
        raise ValueError("prompt: must be a text or a list of texts, none of them empty")
    limit = keys.whole("max_tokens", _COMPLETION_TOKENS) or 0
    found, seed = read_sampling(keys, limit, read_completion_logprobs(keys))
    keys.finish(*_OFF_COMPLETION)
    return TextRequest(prompts=prompts, sampling=found, seed=seed)
