"""Writing texts for OpenAI batch files, as each request's body asks for them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import pyarrow as pa

from lib.errors import ConfigError
from lib.tasks.base import Prepared, Result
from lib.tasks.openai.bodies import read_chat, read_completion
from lib.tasks.openai.body_task import Body, BodyNotes, BodyRequests, BodyTask
from lib.tasks.openai.responses import read_response
from lib.tasks.openai.sampling_keys import in_a_body
from lib.tasks.openai.text_request import TextRequest
from lib.tasks.sampling import row_seed
from lib.types import Completion, Completions, GenerateEngine, Sampling, Served, Tokenizer, TokenLogprob, Usage

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
_READERS = {CHAT: read_chat, COMPLETIONS: read_completion, RESPONSES: read_response}


class Wanted(NamedTuple):
    """How a body's prompts are answered. seeds: one for each prompt."""

    sampling: Sampling
    seeds: list[int]


_Prepared = Prepared[BodyNotes[list[int], Wanted]]


@dataclass(frozen=True)
class AnswerTexts(BodyTask[GenerateEngine, list[int], Wanted, Sequence[Completion], Completions]):
    """The task of `jobs.generate` on requests to /v1/chat/completions, /v1/completions and /v1/responses.

    Columns: text, finish_reason, new_tokens, logprobs, tool_calls: lists with a value for each choice (the samples of
    the first prompt, then those of the next); tokens: of the prompts; cut: 0. logprobs: null where they are not asked
    for, else JSON text, a list with an object for each token: token, logprob, and top_logprobs, a list of such,
    likeliest first. tool_calls: null where there are none, else JSON text, a list of objects with name and arguments
    (JSON text).

    seed: of the run; a body without a seed gets one from it and its content. fits: raises ConfigError for sampling
    that the engine lacks; picklable.
    """

    url: str
    seed: int
    context: int
    fits: Callable[[Sampling], None]

    version = 4
    output = 1
    method = "generate"
    schema = pa.schema(
        {
            "text": pa.list_(pa.string()),
            "finish_reason": pa.list_(pa.string()),
            "new_tokens": pa.list_(pa.int32()),
            "logprobs": pa.list_(pa.string()),
            "tool_calls": pa.list_(pa.string()),
            "tokens": pa.int32(),
            "cut": pa.int32(),
        }
    )

    @property
    def draws(self) -> bool:
        """Whether a body may ask for draws, as by default it does."""
        return True

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version, "seed": self.seed}

    def question(self) -> Mapping[str, Any]:
        """The same with the url: bodies alone don't say which of two ways they are read."""
        return {**self.identity(), "url": self.url}

    def check_body(self, body: Body) -> None:
        """Raise ValueError, saying why, for a body that can't be answered."""
        try:
            self.fits(self._read(body).sampling)
        except ConfigError as error:
            raise ValueError(in_a_body(error)) from None

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Refuse chats where the model knows none."""
        if self.writes_chats(tokenizer) and not tokenizer.has_chat_template:
            raise ConfigError(
                f"the engine's tokenizer has no chat template, which {self.url} needs; give engine.chat_template, "
                f"choose a model that was trained on chats, or make the requests to {COMPLETIONS}"
            )

    def requests(self, key: str, body: Body, tokenizer: Tokenizer) -> BodyRequests[list[int], Wanted]:
        """One request for each prompt."""
        read = self._read(body)
        prompts = [
            tokenizer.completion_prompt(tokenizer.plain(prompt))
            if isinstance(prompt, str)
            else tokenizer.chat_prompt(
                prompt.messages, add_generation_prompt=prompt.generation_prompt, thinking=None, told=prompt.told
            )
            for prompt in read.prompts
        ]
        count = range(len(prompts))
        seeds = [row_seed(self.seed, key, number) if read.seed is None else read.seed for number in count]
        return BodyRequests(prompts, [len(prompt) for prompt in prompts], Wanted(read.sampling, seeds))

    def writes_chats(self, tokenizer: Tokenizer) -> bool:
        """Whether the texts of rows become turns of chats."""
        return self.url != COMPLETIONS

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> _Prepared:
        """As of every such task; and how long the answers may be."""
        prepared = super().prepare(rows, tokenizer, max_tokens)
        limits = [wanted.sampling.max_tokens for wanted in prepared.notes.rows if wanted]
        room = max_tokens - min(map(len, prepared.requests), default=0)
        return replace(prepared, new_tokens=min(max(limits, default=0), room))

    def ask(self, engine: GenerateEngine, prepared: _Prepared) -> Completions:
        """The samples of each request; those that are sampled alike are asked together."""
        asked = [(wanted.sampling, seed) for wanted in prepared.notes.rows if wanted for seed in wanted.seeds]
        groups: dict[Sampling, list[int]] = {}
        for number, (sampling, _) in enumerate(asked):
            groups.setdefault(sampling, []).append(number)
        texts: list[list[Completion]] = [[] for _ in asked]
        errors: dict[int, str] = {}
        cached, queued, served = 0, 0.0, Served()
        for sampling, numbers in groups.items():
            found = engine.generate(
                [prepared.requests[number] for number in numbers], sampling, [asked[number][1] for number in numbers]
            )
            for place, number in enumerate(numbers):
                texts[number] = found.texts[place]
            errors |= {numbers[place]: why for place, why in found.errors.items()}
            cached += found.usage.cached_tokens
            queued += found.usage.queued * len(numbers) / len(asked)
            served += found.usage.served
        return Completions(texts, errors, Usage(cached, queued, served))

    def read(self, prepared: _Prepared, answers: Completions) -> Result:
        """Texts with how they ended."""
        return self.rows(prepared, answers.texts, answers.errors)

    def cells(self, about: Wanted, answers: Sequence[Sequence[Completion]]) -> list[object]:
        """Texts, how they ended, how long and how likely they are, and what they call, of all choices."""
        samples = [sample for request in answers for sample in request]
        return [
            [sample.text for sample in samples],
            [sample.finish_reason for sample in samples],
            [len(sample.tokens) for sample in samples],
            [None if sample.logprobs is None else _logprobs(sample.logprobs) for sample in samples],
            [_json([asdict(call) for call in sample.calls]) if sample.calls else None for sample in samples],
        ]

    def _read(self, body: Body) -> TextRequest:
        return _READERS[self.url](body, self.context)


def _logprobs(steps: Sequence[TokenLogprob]) -> str:
    """The cell of one choice."""
    told = [
        {
            "token": step.token,
            "logprob": step.logprob,
            "top_logprobs": [{"token": token, "logprob": logprob} for token, logprob in step.top],
        }
        for step in steps
    ]
    return _json(told)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
