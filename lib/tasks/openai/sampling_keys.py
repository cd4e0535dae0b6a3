"""How the texts of a body are sampled: by OpenAI's keys, and those that vLLM's server adds to them."""

import json
from dataclasses import replace
from typing import Any

from lib.errors import ConfigError
from lib.tasks.openai.body_keys import Keys, short
from lib.tasks.sampling import SamplingConfig, sampling
from lib.types import Sampling

_MOST_SAMPLES = 128  # OpenAI's limit of n
MOST_LOGPROBS = 20  # OpenAI's limit of top_logprobs, and vLLM's of both
_STRONGEST_BIAS = 100
_SEEDS = 2**63


def read_sampling(keys: Keys, most: int, logprobs: int | None) -> tuple[Sampling, int | None]:
    """How text is sampled, by OpenAI's defaults, and the seed, if there is one. Raises ValueError.

    most: new tokens. logprobs: as of Sampling.
    """
    temperature = keys.number("temperature", 1.0)
    draws: dict[str, Any] = {
        "top_p": keys.number("top_p", 1.0),
        "top_k": max(keys.whole("top_k", 0) or 0, 0),  # -1 is vLLM's way to say all
        "min_p": keys.number("min_p", 0.0),
    }
    n = keys.whole("n", 1) or 0
    if n > _MOST_SAMPLES:
        raise ValueError(f"n={short(n)}: must be at most {_MOST_SAMPLES}")
    rest: dict[str, Any] = {
        "max_new_tokens": most,
        "repetition_penalty": keys.number("repetition_penalty", 1.0),
        "n": n,
        "stop": keys.texts("stop") or [],
        **_constraint(keys),
    }
    seed = keys.whole_within("seed", -_SEEDS, _SEEDS - 1)
    try:
        if temperature == 0:  # greedy: what is said of draws must be possible, and has no effect
            SamplingConfig(temperature=1.0, **draws)
            draws = {}
        found = sampling(SamplingConfig(temperature=temperature, **draws, **rest))
    except ConfigError as error:
        raise ValueError(in_a_body(error)) from None
    return replace(found, logprobs=logprobs, **_logits(keys), **_ends(keys, found)), seed


def in_a_body(error: ConfigError) -> str:
    """What a config's error about `generate` says, in the words of a body."""
    return str(error).replace("generate.", "").replace("max_new_tokens", "max_tokens")


def read_chat_logprobs(keys: Keys) -> int | None:
    """What a chat's body asks of log-probabilities: `logprobs` switches them on, `top_logprobs` says how many."""
    wanted = keys.switch("logprobs")
    top = keys.whole_within("top_logprobs", 0, MOST_LOGPROBS)
    if top and not wanted:
        raise ValueError(f"top_logprobs={top}: needs logprobs=true")
    return (top or 0) if wanted else None


def read_completion_logprobs(keys: Keys) -> int | None:
    """What a completion's body asks of log-probabilities."""
    return keys.whole_within("logprobs", 0, MOST_LOGPROBS)


def _logits(keys: Keys) -> dict[str, Any]:
    """What is added to logits."""
    biases = keys.take("logit_bias", dict, "an object of token ids and numbers", {})
    found: list[tuple[int, float]] = []
    for token, bias in biases.items():
        number = isinstance(bias, int | float) and not isinstance(bias, bool)
        if not (token.isascii() and token.isdigit() and len(token) < 10 and number and abs(bias) <= _STRONGEST_BIAS):
            raise ValueError(f"logit_bias={short({token: bias})}: must be token ids, each with a number in [-100, 100]")
        found.append((int(token), float(bias)))
    return {
        "logit_bias": tuple(sorted(found)),
        "frequency_penalty": keys.within("frequency_penalty", 0.0, -2, 2),
        "presence_penalty": keys.within("presence_penalty", 0.0, -2, 2),
    }


def _ends(keys: Keys, found: Sampling) -> dict[str, Any]:
    """What ends a text, beside stop texts."""
    least = keys.whole_within("min_tokens", 0, found.max_tokens) or 0
    tokens = keys.take("stop_token_ids", list, "a list of token ids", [])
    if not all(type(token) is int and 0 <= token < 2**31 for token in tokens):
        raise ValueError(f"stop_token_ids={short(tokens)}: must be a list of token ids")
    ignores = keys.switch("ignore_eos")
    if found.constrained and (least or ignores):
        raise ValueError(
            f"{'min_tokens' if least else 'ignore_eos'}: a text that has to keep to something ends where that does; "
            "leave it out"
        )
    return {
        "min_tokens": least,
        "stop_token_ids": tuple(tokens),
        "ignore_eos": ignores,
        "include_stop": keys.switch("include_stop_str_in_output"),
    }


def _constraint(keys: Keys) -> dict[str, Any]:
    """What a text has to keep to, by OpenAI's response_format or vLLM's structured_outputs."""
    form = keys.take("response_format", dict, "an object", {"type": "text"})
    wanted = dict(keys.take("structured_outputs", dict, "an object", {}))
    if unknown := sorted(wanted.keys() - {"choice", "regex", "json"}):
        raise ValueError(f"structured_outputs: {', '.join(unknown)} is not supported; use choice, regex or json")
    if form.get("type") == "json_object":
        wanted["json"] = {"type": "object"}
    elif form.get("type") == "json_schema":
        described = form.get("json_schema")
        if not isinstance(described, dict) or not isinstance(described.get("schema"), dict):
            raise ValueError("response_format: json_schema.schema must be a JSON schema, an object")
        wanted["json"] = described["schema"]
    elif form.get("type") != "text":
        raise ValueError(f"response_format={short(form)}: type must be text, json_object or json_schema")
    read = Keys(wanted)
    found = {"choice": read.texts("choice") or [], "regex": read.take("regex", str, "a text")}
    schema = read.take("json", (str, dict), "a JSON schema")
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"structured_outputs: json is no JSON ({error})") from None
    return {**found, "json_schema": None if schema is None else json.dumps(schema, ensure_ascii=False)}
