"""The bodies of OpenAI requests, read strictly: what can't be done as asked is refused, never passed over.

The formats are those of OpenAI's API reference, and of vLLM's server where it adds to them. `model` is recorded, and
chooses no engine; keys that only label a request (`user`, `metadata` …) have no effect here as there.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib.errors import ConfigError
from lib.tasks.sampling import SamplingConfig, sampling
from lib.types import Message, Sampling, content_text, require_alternation

_LABELS = {"model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "request_id"}
_MOST_SAMPLES = 128  # OpenAI's limit of n
_COMPLETION_TOKENS = 16  # OpenAI's default of max_tokens at /v1/completions

# What can only be asked for in the way it is anyway: key -> the values that ask for nothing else, and why not.
_OFF: dict[str, tuple[Sequence[Any], str]] = {
    "stream": ((False,), "a batch file is not streamed"),
    "frequency_penalty": ((0,), "no engine here has it; use repetition_penalty"),
    "presence_penalty": ((0,), "no engine here has it; use repetition_penalty"),
    "logit_bias": (({},), "no engine here has it; structured_outputs keep a text to a choice or a regex"),
    "logprobs": ((False,), "log-probabilities of texts are not kept"),
    "top_logprobs": ((0,), "log-probabilities of texts are not kept"),
    "tools": (([],), "tools are not supported"),
    "tool_choice": (("none", "auto"), "tools are not supported"),
    "parallel_tool_calls": ((False, True), "tools are not supported"),
    "functions": (([],), "tools are not supported"),
    "modalities": ((["text"],), "models here write text"),
    "use_beam_search": ((False,), "searches are not supported in batch files"),
    "ignore_eos": ((False,), "a text ends where the model ends it"),
    "min_tokens": ((0,), "a text ends where the model ends it"),
    "skip_special_tokens": ((True,), "texts are without special tokens"),
    "echo": ((False,), "texts are without their prompts"),
    "best_of": ((1,), "all samples are kept; use n"),
    "suffix": (("",), "models here write what follows a prompt"),
}


class Body:
    """The keys of a body, each to be taken once; null is as good as absent. All raise ValueError, saying why."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._left = {key: value for key, value in body.items() if value is not None and key not in _LABELS}

    def take(self, key: str, kinds: type | tuple[type, ...], what: str, default: Any = None) -> Any:
        """The value of a key, of one of these types. what: these in words."""
        value = self._left.pop(key, default)
        if value is not default and (not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool)):
            raise ValueError(f"{key}={_short(value)}: must be {what}")
        return value

    def number(self, key: str, default: float) -> float:
        """A number."""
        value = self.take(key, (int, float), "a number", default)
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{key}={_short(value)}: too large") from None

    def whole(self, key: str, default: int | None) -> int | None:
        """A whole number, of any size."""
        value: int | None = self.take(key, int, "a whole number", default)
        return value

    def texts(self, key: str) -> list[str] | None:
        """A text or a list of texts."""
        value = self.take(key, (str, list), "a text or a list of texts")
        texts = [value] if isinstance(value, str) else value
        if texts is not None and not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{key}={_short(value)}: must be a text or a list of texts (token ids are not supported)")
        return texts

    def finish(self, *off: str) -> None:
        """Refuse what is left. off: keys that may be there in the way they are meant anyway."""
        for key, value in self._left.items():
            if key not in off:
                raise ValueError(f"unknown key {key!r}; if it changes no answer, leave it out")
            usual, why = _OFF[key]
            if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in usual):
                raise ValueError(f"{key}={_short(value)}: {why}; leave it out")


@dataclass(frozen=True, kw_only=True)
class TextRequest:
    """Texts that are asked for: `sampling.n` after each prompt, a chat or a text. seed: of the body, if it has one."""

    prompts: Sequence[Sequence[Message] | str]
    sampling: Sampling
    seed: int | None


def read_chat(given: Mapping[str, Any], context: int) -> TextRequest:
    """A body of /v1/chat/completions. context: tokens that the model can take; the limit where the body has none."""
    body = Body(given)
    messages = _messages(body.take("messages", list, "a list of messages"))
    most = [body.whole(key, None) for key in ("max_completion_tokens", "max_tokens")]
    if None not in most:
        raise ValueError("max_tokens is the old name of max_completion_tokens; give one of them")
    found, seed = _sampling(body, next((limit for limit in most if limit is not None), context))
    body.finish(*(_OFF.keys() - {"echo", "best_of", "suffix"}))
    return TextRequest(prompts=[messages], sampling=found, seed=seed)


def read_completion(given: Mapping[str, Any], context: int) -> TextRequest:
    """A body of /v1/completions, with one prompt or several. max_tokens is 16 where the body has none, as with OpenAI.

    context: has no effect, since there always is a limit.
    """
    body = Body(given)
    prompts = body.texts("prompt")
    if not prompts or "" in prompts:
        raise ValueError("prompt: must be a text or a list of texts, none of them empty")
    found, seed = _sampling(body, body.whole("max_tokens", _COMPLETION_TOKENS) or 0)
    body.finish(*(_OFF.keys() - {"logprobs", "top_logprobs", "tools", "tool_choice", "functions", "modalities"}))
    return TextRequest(prompts=prompts, sampling=found, seed=seed)


@dataclass(frozen=True, kw_only=True)
class EmbeddingRequest:
    """Texts to be embedded. dimensions: the first of a vector's values only; None for all."""

    texts: Sequence[str]
    dimensions: int | None


def read_embedding(given: Mapping[str, Any]) -> EmbeddingRequest:
    """A body of /v1/embeddings."""
    body = Body(given)
    texts = body.texts("input")
    if not texts or "" in texts:
        raise ValueError("input: must be a text or a list of texts, none of them empty")
    dimensions = body.whole("dimensions", None)
    if dimensions is not None and dimensions < 1:
        raise ValueError(f"dimensions={dimensions}: must be at least 1")
    if (form := body.take("encoding_format", str, "a text", "float")) != "float":
        raise ValueError(f"encoding_format={_short(form)}: vectors are written as numbers; use float, or leave it out")
    body.finish()
    return EmbeddingRequest(texts=texts, dimensions=dimensions)


def read_score(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The pairs of a body of vLLM's /v1/score: one text against one or several, or as many against as many."""
    body = Body(given)
    names = next((pair for pair in (("text_1", "text_2"), ("queries", "documents")) if pair[0] in given), None)
    if names is None:
        raise ValueError("needs text_1 and text_2, or queries and documents")
    first, second = (body.texts(name) for name in names)
    if not first or not second:
        raise ValueError(f"needs both {names[0]} and {names[1]}, each a text or a list of texts")
    if body.take("use_activation", bool, "true or false", False):
        raise ValueError("use_activation=true: scores are the model's output as it is; leave it out")
    body.finish()
    if len(first) == 1:
        first = first * len(second)
    if len(first) != len(second):
        raise ValueError(f"{names[0]} has {len(first)} texts, {names[1]} {len(second)}: must be 1 to n, or n to n")
    return list(zip(first, second, strict=True))


def _messages(given: list[object] | None) -> list[Message]:
    if not given:
        raise ValueError("messages: must be a list of messages")
    messages = [_message(message, number) for number, message in enumerate(given, 1)]
    try:
        require_alternation(messages)
    except ValueError as error:
        raise ValueError(f"messages: {error}") from None
    return messages


def _message(given: object, number: int) -> Message:
    where = f"messages: turn {number}"
    if not isinstance(given, dict):
        raise ValueError(f"{where} is not an object with role and content")
    given = {key: value for key, value in given.items() if value not in (None, [])}  # "tool_calls": [] says nothing
    if unknown := sorted(given.keys() - {"role", "content"}):
        raise ValueError(f"{where} has {', '.join(unknown)}; only role and content are supported")
    role: Any = given.get("role")
    text = content_text(given.get("content"), where)
    return Message(role="system" if role == "developer" else role, content=text)


def _sampling(body: Body, most: int) -> tuple[Sampling, int | None]:
    """How text is sampled, by OpenAI's defaults, and the seed. most: new tokens."""
    temperature = body.number("temperature", 1.0)
    draws: dict[str, Any] = {
        "top_p": body.number("top_p", 1.0),
        "top_k": max(body.whole("top_k", 0) or 0, 0),  # -1 is vLLM's way to say all
        "min_p": body.number("min_p", 0.0),
    }
    n = body.whole("n", 1) or 0
    if n > _MOST_SAMPLES:
        raise ValueError(f"n={_short(n)}: must be at most {_MOST_SAMPLES}")
    rest: dict[str, Any] = {
        "max_new_tokens": most,
        "repetition_penalty": body.number("repetition_penalty", 1.0),
        "n": n,
        "stop": body.texts("stop") or [],
        **_constraint(body),
    }
    seed = body.whole("seed", None)
    if seed is not None and not 0 <= seed < 2**63:
        raise ValueError(f"seed={_short(seed)}: must be in [0, 2**63)")
    try:
        if temperature == 0:  # greedy: what is said of draws must be possible, and has no effect
            SamplingConfig(temperature=1.0, **draws)
            draws = {}
        found = sampling(SamplingConfig(temperature=temperature, **draws, **rest))
    except ConfigError as error:
        raise ValueError(in_a_body(error)) from None
    return found, seed


def in_a_body(error: ConfigError) -> str:
    """What a config's error about `generate` says, in the words of a body."""
    return str(error).replace("generate.", "").replace("max_new_tokens", "max_tokens")


def _constraint(body: Body) -> dict[str, Any]:
    """What a text has to keep to, by OpenAI's response_format or vLLM's structured_outputs."""
    form = body.take("response_format", dict, "an object", {"type": "text"})
    wanted = dict(body.take("structured_outputs", dict, "an object", {}))
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
        raise ValueError(f"response_format={_short(form)}: type must be text, json_object or json_schema")
    read = Body(wanted)
    found = {"choice": read.texts("choice") or [], "regex": read.take("regex", str, "a text")}
    schema = read.take("json", (str, dict), "a JSON schema")
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"structured_outputs: json is no JSON ({error})") from None
    return {**found, "json_schema": None if schema is None else json.dumps(schema, ensure_ascii=False)}


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"
