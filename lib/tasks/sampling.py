"""How text is generated, as a config, and the seeds of rows."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa

from lib.config import require_local, require_unset
from lib.errors import ConfigError
from lib.types import KEY, Sampling, TokenIds

_NEW_TOKENS = 256
_TOO_MANY = 2**31  # for the counters of engines and of results
_OF_DRAWS = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "epsilon_cutoff": 0.0}  # and what switches each off


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How text is generated: greedily (temperature=0), by draws (temperature above 0), or by a search (num_beams).

    max_new_tokens: that are written after each prompt, at most; null: 256, or what max_length leaves. max_length: of
    prompt and output together, so that a long prompt leaves less to write and one of max_length tokens fails; with
    both, whichever ends first. engine.max_model_len is a limit of its own, for all.

    temperature divides the logits; 0 takes the likeliest token. Of the tokens only these are drawn, in this order:
    min_p: those at least min_p times as likely as the likeliest (Nguyen et al. 2024, "Turning up the heat"); top_k: the
    k likeliest, 0 for all (Fan et al. 2018, "Hierarchical neural story generation"); top_p: the fewest that make up
    this probability (Holtzman et al. 2020, "The curious case of neural text degeneration"); epsilon_cutoff: those at
    least so likely (Hewitt et al. 2022, "Truncation sampling as language model desmoothing").
    repetition_penalty: logits of tokens of the prompt and the text so far are divided by it, or multiplied where
    negative (Keskar et al. 2019, "CTRL"). num_beams: width of the beam search. n: texts for each row: draws, or the
    best of the beams.

    stop: texts that end one and are left out of it, besides the model's own end tokens. choice: the text is one of
    these. regex: it matches this from beginning to end. json_schema: it is JSON of this schema: JSON text, or the path
    of a .json file, in whose place its content is kept.

    seed: of the draws; each row and each text has its own, derived from it (`row_seed`).
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    epsilon_cutoff: float = 0.0
    repetition_penalty: float = 1.0
    num_beams: int = 1
    n: int = 1
    stop: list[str] = field(default_factory=list)
    choice: list[str] = field(default_factory=list)
    regex: str | None = None
    json_schema: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.json_schema is not None:
            object.__setattr__(self, "json_schema", _schema(self.json_schema))
        for key, problem in (*self._bad_values(), *self._contradictions()):
            raise ConfigError(f"generate.{key}={getattr(self, key)}: {problem}")

    def _bad_values(self) -> Iterator[tuple[str, str]]:
        """Keys whose values are impossible, each with what it may be."""
        for key in ("max_new_tokens", "max_length", "num_beams", "n"):
            value = getattr(self, key)
            if value is not None and value < 1:
                yield key, "must be at least 1"
        for key in ("max_new_tokens", "max_length", "num_beams", "n", "top_k"):
            if (getattr(self, key) or 0) >= _TOO_MANY:
                yield key, "must be below 2**31"
        if not 0 <= self.temperature < float("inf"):
            yield "temperature", "must be 0 (greedy) or more"
        if not 0 < self.top_p <= 1:
            yield "top_p", "must be in (0, 1]"
        if self.top_k < 0:
            yield "top_k", "must be 0 (all tokens) or more"
        for key in ("min_p", "epsilon_cutoff"):
            if not 0 <= getattr(self, key) < 1:
                yield key, "must be in [0, 1)"
        if not 0 < self.repetition_penalty < float("inf"):
            yield "repetition_penalty", "must be above 0; 1 is none"
        for key in ("stop", "choice"):
            texts = getattr(self, key)
            if "" in texts or len(set(texts)) < len(texts):
                yield key, "must be different texts, none of them empty"
        if self.regex is not None:
            try:
                re.compile(self.regex)
            except re.error as error:
                yield "regex", f"is no regular expression: {error}"
            if not self.regex:
                yield "regex", "is empty, so every text would be; null is no constraint"

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        """Keys that don't go with others, each with what to change."""
        constraints = [key for key in ("choice", "regex", "json_schema") if getattr(self, key)]
        if len(constraints) > 1:
            yield constraints[1], f"one constraint at a time; leave out generate.{constraints[0]} or this one"
        if self.num_beams > 1:
            if self.temperature > 0:
                yield "num_beams", "a beam search draws nothing; set generate.temperature=0, or num_beams=1 to draw"
            if self.n > self.num_beams:
                yield "n", f"there are no more texts than beams; at most {self.num_beams} (generate.num_beams)"
            if constraints:
                yield "num_beams", f"a beam search keeps to no generate.{constraints[0]}; set num_beams=1"
        elif self.temperature == 0 and self.n > 1:
            yield "n", "greedy texts of a row are all the same; set generate.temperature above 0, or num_beams"
        if self.temperature == 0:
            for key, off in _OF_DRAWS.items():
                if getattr(self, key) != off:
                    yield key, f"has no effect without draws; set generate.temperature above 0, or {key}={off}"


def require_draws(config: SamplingConfig) -> None:
    """Raise ConfigError for a seed where nothing is drawn (an OpenAI batch file's bodies may draw all the same)."""
    if config.temperature == 0:
        require_unset("generate", SamplingConfig(seed=config.seed), "without draws (generate.temperature above 0)")


def sampling(config: SamplingConfig) -> Sampling:
    """What engines are told. The seed is not part of it: seeds are of rows."""
    most = config.max_new_tokens or config.max_length or _NEW_TOKENS
    return Sampling(
        max_tokens=most,
        max_length=config.max_length,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=config.top_k,
        min_p=config.min_p,
        epsilon_cutoff=config.epsilon_cutoff,
        repetition_penalty=config.repetition_penalty,
        num_beams=config.num_beams,
        n=config.n,
        stop=tuple(config.stop),
        choice=tuple(config.choice),
        regex=config.regex,
        json_schema=config.json_schema,
    )


def total_tokens(config: SamplingConfig, max_tokens: int) -> int:
    """Tokens of prompt and output together, at most. max_tokens: that the engine can take."""
    return min(max_tokens, config.max_length or max_tokens)


def reserved_tokens(config: SamplingConfig) -> int:
    """Tokens that are kept free behind a prompt: all that may be written or, with max_length, at least one."""
    return sampling(config).max_tokens if config.max_length is None else 1


def new_tokens(config: SamplingConfig, requests: Sequence[TokenIds], max_tokens: int) -> int:
    """Tokens that may be written after each of the requests, at most."""
    room = total_tokens(config, max_tokens) - min(map(len, requests), default=0)
    return min(sampling(config).max_tokens, room)


def limit_key(config: SamplingConfig, tokens: int) -> str:
    """The setting that ended a text after so many new tokens."""
    limits = sampling(config)
    if tokens == limits.max_tokens != limits.max_length:
        return "generate.max_new_tokens"
    return "engine.max_model_len" if limits.max_length is None else "generate.max_length"


def row_seed(seed: int, row: str, sample: int = 0) -> int:
    """The seed of a row's draws, in [0, 2**63): equal arguments give equal seeds on every machine.

    seed: of the run. row: the row's key, as of `row_keys`. sample: where each sample is a request of its own; an engine
    that is asked for n of them counts them itself.
    """
    content = json.dumps([seed, row, sample]).encode()
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little") >> 1


def row_keys(rows: pa.Table) -> list[str]:
    """What tells rows apart for `row_seed`: their keys, in hexadecimal. Neither place nor id: a row may move."""
    return [key.hex() for key in rows[KEY].to_pylist()]


def schema_problem(text: str, schema: str) -> str | None:
    """Why a text is not JSON of a schema; None where it is.

    What engines are told is xgrammar's reading of a schema, which is looser where keywords stand side by side.
    """
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
    from referencing.exceptions import Unresolvable

    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"is no JSON: {error}"
    try:
        breach = best_match(_validator(schema).iter_errors(value))
    except (RecursionError, Unresolvable, ArithmeticError) as error:  # the last of infinite numbers
        return f"can't be held against it: {error}"
    return f"{breach.json_path}: {breach.message}" if breach else None


@lru_cache(maxsize=8)
def _validator(schema: str) -> Any:
    """What holds JSON against a schema; references lead nowhere outside of it, and to no other host."""
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

    contents = json.loads(schema)
    return validator_for(contents)(contents, registry=REGISTRY)


def _schema(given: str) -> str:
    """The text of a JSON schema. Raises ConfigError for what is none."""
    key = f"generate.json_schema={given}"
    text = given
    if given.endswith(".json"):
        require_local("generate.json_schema", given)
        try:
            text = Path(given).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{key}: the file cannot be read: {error}") from error
    try:
        schema: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{key}: is no JSON ({error}); give a JSON schema, or the path of a .json file") from error
    if not isinstance(schema, dict):
        raise ConfigError(f'{key}: a JSON schema is an object, such as {{"type": "object"}}')
    if not isinstance(schema.get("$schema", ""), str):
        raise ConfigError(f"{key}: is no JSON schema: $schema: must be a text, if it is there")
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable

    try:
        validator = _validator(text)
        validator.check_schema(schema)
        _look_up_references(schema)
        validator.is_valid(None)
    except SchemaError as error:
        where = "/".join(map(str, error.absolute_path)) or "its top"
        raise ConfigError(f"{key}: is no JSON schema: {where}: {error.message}") from error
    except (Unresolvable, ValueError) as error:  # the latter of what is no URL
        raise ConfigError(f"{key}: has a $ref that leads nowhere inside of it: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{key}: is nested too deep, or a $ref of it leads back to itself") from error
    return text


def _look_up_references(schema: dict[str, Any]) -> None:
    """Raise what the library raises where a reference of a schema, or of one in it, leads nowhere."""
    from jsonschema_specifications import REGISTRY
    from referencing.jsonschema import DRAFT202012, specification_with

    top = specification_with(schema.get("$schema", ""), default=DRAFT202012).create_resource(schema)
    waiting = [(top, REGISTRY.resolver_with_root(top))]
    while waiting:
        resource, resolver = waiting.pop()
        if isinstance(resource.contents, dict) and "$ref" in resource.contents:
            resolver.lookup(resource.contents["$ref"])
        waiting += [(inner, resolver.in_subresource(inner)) for inner in resource.subresources()]
