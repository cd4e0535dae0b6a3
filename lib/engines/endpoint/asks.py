"""Requests: the path and the JSON body of what a server is asked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from lib.engines.endpoint.dialects import DIALECTS, Dialect, Server, Structured
from lib.images import ImagePrompt
from lib.types import Message, Sampling, ServerPrompt, TokenIds

CHAT, COMPLETIONS = "chat/completions", "completions"
_OF_BODY = ("documents", "continue_final_message")  # what chat templates are told by keys of their own


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request. path: below engine.url. tokens: of the prompt as we count them; output: that may be written at most.

    salt: what tells it from another with the same body, as a seed that the server isn't told.
    """

    path: str
    body: Mapping[str, Any]
    tokens: int
    output: int = 0
    salt: str = ""

    @property
    def key(self) -> str:
        """A hash of all that it asks."""
        return sha256(json.dumps([self.path, self.body, self.salt], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Asker:
    """Makes requests to a model of a kind of server.

    ids: prompts are the model's own token ids, and sent as they are; else `ServerPrompt`s, of which it gets the texts.
    """

    model: str
    server: Server
    ids: bool = False

    def text(self, prompt: TokenIds, sampling: Sampling, most: int, seed: int, sample: int = 0) -> Ask:
        """Samples after a prompt, `most` tokens each. sample: its number where each is a request of its own."""
        dialect = DIALECTS[self.server]
        path, body = self._prompt(prompt)
        body |= {dialect.limit if path == CHAT else "max_tokens": most, "temperature": sampling.temperature}
        if sampling.temperature:
            body["top_p"] = sampling.top_p
            if dialect.seeds:
                body["seed"] = seed + sample
        body |= _extras(sampling, dialect)
        wanted = {name: getattr(sampling, key) for key, name in dialect.optional.items()}
        body |= {name: list(value) if isinstance(value, tuple) else value for name, value in wanted.items() if value}
        if dialect.samples and sampling.n > 1:
            body["n"] = sampling.n
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        salt = "" if dialect.seeds or not sampling.temperature else f"{seed} {sample}"
        samples = sampling.n if dialect.samples else 1
        body |= _constraint(sampling, dialect.structured)
        return Ask(path=path, body=body, tokens=len(prompt), output=most * samples, salt=salt)

    def next_token(
        self, prompt: TokenIds, begun: str = "", *, top: Mapping[str, int], ids: Sequence[int] | None = None
    ) -> Ask:
        """The likeliest next tokens after a prompt and the beginning of its answer, or those of some ids.

        top: by path, of how many tokens the server tells.
        """
        dialect = DIALECTS[self.server]
        path, body = self._prompt(prompt, begun)
        body |= {dialect.limit if path == CHAT else "max_tokens": 1}
        # With all servers 1 leaves probabilities as the model has them.
        body |= {"temperature": 0.0 if ids else 1.0, **_extras(Sampling(max_tokens=1), dialect)}
        count = min(top[path], len(ids)) if ids else top[path]
        body |= {"logprobs": True, "top_logprobs": count} if path == CHAT else {"logprobs": count}
        if ids:
            body |= {"logprob_token_ids": list(ids), "return_tokens_as_token_ids": True}
        return Ask(path=path, body=body, tokens=len(prompt), output=1)

    def vector(self, prompt: TokenIds) -> Ask:
        """The vector of a text."""
        (text,) = _told(prompt).texts
        return Ask(path="embeddings", body={"model": self.model, "input": text}, tokens=len(prompt))

    def score(self, prompt: TokenIds) -> Ask:
        """How well a passage answers a query."""
        query, passage = _told(prompt).texts
        path = DIALECTS[self.server].scores
        assert path is not None, "the config's check refuses it"
        body: dict[str, Any] = {"model": self.model}
        if path == "score":
            body |= {"text_1": query, "text_2": passage, "use_activation": False}
        else:
            body |= {"query": query, "documents": [passage]}
        return Ask(path=path, body=body, tokens=len(prompt))

    def _prompt(self, prompt: TokenIds, begun: str = "") -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {"model": self.model}
        if self.ids:
            assert not begun, "it is among the ids"
            assert not isinstance(prompt, ImagePrompt), "the ids don't show what it does"
            return COMPLETIONS, {**body, "prompt": list(prompt)}
        told = _told(prompt)
        begun = told.begun + begun
        if told.messages is None:
            return COMPLETIONS, {**body, "prompt": "".join(told.texts) + begun}
        messages: list[Message] = [*told.messages]
        if begun:
            messages.append(Message(role="assistant", content=begun))
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        elif not told.add_generation_prompt:
            body |= {"add_generation_prompt": False}
        if DIALECTS[self.server].template:
            body |= {key: value for key, value in told.told.items() if key in _OF_BODY}
            of_template = {key: value for key, value in told.told.items() if key not in _OF_BODY}
            if told.thinking is not None:
                of_template["enable_thinking"] = told.thinking
            if of_template:
                body |= {"chat_template_kwargs": of_template}
        return CHAT, {**body, "messages": messages}


def _told(prompt: TokenIds) -> Any:
    assert isinstance(prompt, ServerPrompt), "prompts of this engine are made by its own tokenizer"
    return prompt.told


def _extras(sampling: Sampling, dialect: Dialect) -> dict[str, Any]:
    """What a kind of server is always told. It calls all tokens -1 where we call them 0; SGLang refuses 0."""
    told = {key: getattr(sampling, key) for key in dialect.extras}
    return told | ({"top_k": sampling.top_k or -1} if "top_k" in told else {})


def _constraint(sampling: Sampling, structured: Structured | None) -> dict[str, Any]:
    """What the text must be, as a kind of server takes it."""
    if not sampling.constrained:
        return {}
    schema = None if sampling.json_schema is None else json.loads(sampling.json_schema)
    if structured is Structured.vllm:
        asked = {"choice": list(sampling.choice) or None, "regex": sampling.regex, "json": schema}
        return {"structured_outputs": {key: value for key, value in asked.items() if value is not None}}
    if schema is not None:
        named = {"name": "answer", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    return {"regex": sampling.regex or "|".join(_escaped(text) for text in sampling.choice)}


def _escaped(text: str) -> str:
    """A text as a regular expression of any dialect."""
    return "".join(f"\\{c}" if c in r".^$*+?{}[]\|()" else c for c in text)
