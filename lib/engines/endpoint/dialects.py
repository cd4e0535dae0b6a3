"""What servers that speak OpenAI's API can do besides: one line for each kind of server."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum

from lib.errors import ConfigError
from lib.types import Sampling


class Server(Enum):
    """Kinds of servers. openai: also LiteLLM, which passes its requests on. other: asked for what all of them know."""

    vllm = "vllm"
    sglang = "sglang"
    openai = "openai"
    deepseek = "deepseek"
    ollama = "ollama"
    anthropic = "anthropic"
    other = "other"


class Structured(Enum):
    """How a text is made to keep to something: by one field for all of it, or by OpenAI's response_format."""

    vllm = "structured_outputs"
    sglang = "regex"
    openai = "response_format"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a kind of server takes and tells.

    limit: what it calls max_tokens in chats. extras: fields of Sampling besides those that all have, which it is always
    told; optional: those that it is told where they are set, by its own names. seeds: whether draws can be
    repeated. samples: whether one request may ask for several texts. stops: stop texts, at most. top_logprobs,
    completion_logprobs: likeliest tokens that it tells of, after a chat and after a text; 0: none. by_id: whether it
    tells of tokens that are named by their ids. continues: whether an answer may be begun for it. template: whether
    chat templates can be told something. structured: None: nothing can be required of a text. scores: the path that
    compares two texts, None for none. lists: whether it tells of its models.
    """

    limit: str = "max_tokens"
    extras: tuple[str, ...] = ()
    optional: Mapping[str, str] = field(default_factory=dict)
    seeds: bool = False
    samples: bool = False
    stops: int = 16
    top_logprobs: int = 0
    completion_logprobs: int = 0
    by_id: bool = False
    continues: bool = False
    template: bool = False
    structured: Structured | None = None
    scores: str | None = None
    lists: bool = True


# What a model's generation_config.json says of these would hold where nothing is told.
_EXTRAS = ("top_k", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty")
_PENALTIES = {key: key for key in ("frequency_penalty", "presence_penalty")}
_ENDS = {key: key for key in ("min_tokens", "ignore_eos", "stop_token_ids")} | {
    "include_stop": "include_stop_str_in_output"
}
DIALECTS = {
    Server.vllm: Dialect(
        extras=_EXTRAS,
        optional=_ENDS,
        seeds=True,
        samples=True,
        top_logprobs=20,
        completion_logprobs=20,
        by_id=True,
        continues=True,
        template=True,
        structured=Structured.vllm,
        scores="score",
    ),
    Server.sglang: Dialect(
        extras=_EXTRAS,
        seeds=True,
        samples=True,
        top_logprobs=20,
        completion_logprobs=20,
        continues=True,
        template=True,
        structured=Structured.sglang,
        scores="rerank",
    ),
    Server.openai: Dialect(
        limit="max_completion_tokens",
        optional=_PENALTIES,
        seeds=True,
        samples=True,
        stops=4,
        top_logprobs=20,
        completion_logprobs=5,
        structured=Structured.openai,
        scores="rerank",
    ),
    Server.deepseek: Dialect(optional=_PENALTIES, top_logprobs=20, completion_logprobs=20),
    Server.ollama: Dialect(seeds=True, structured=Structured.openai),
    Server.anthropic: Dialect(lists=False),
    Server.other: Dialect(),
}
_ALWAYS = ("max_tokens", "max_length", "temperature", "top_p", "n", "stop")
_CONSTRAINTS = {
    None: (),
    Structured.vllm: ("choice", "regex", "json_schema"),
    Structured.sglang: ("choice", "regex", "json_schema"),
    Structured.openai: ("json_schema",),
}


def check_sampling(sampling: Sampling, server: Server) -> None:
    """Raise ConfigError, naming the key of `generate`, for what a kind of server can't do."""
    dialect = DIALECTS[server]
    usual = Sampling(max_tokens=sampling.max_tokens)
    known = {*_ALWAYS, *dialect.extras, *dialect.optional, *_CONSTRAINTS[dialect.structured]}
    for key in sorted({each.name for each in fields(Sampling)} - known):
        if (value := getattr(sampling, key)) != (off := getattr(usual, key)):
            raise ConfigError(
                f"generate.{key}={value}: engine.server={server.name} has no such thing; leave it at {off}"
            )
    if len(sampling.stop) > dialect.stops:
        raise ConfigError(
            f"generate.stop={list(sampling.stop)}: engine.server={server.name} takes {dialect.stops} at most"
        )
