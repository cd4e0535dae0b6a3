"""Answers of a vLLM engine: labels and text from a language model, vectors and scores from a pooler."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.decoding.label_tokens import distinct, next_tokens, prefixes
from lib.engines.decoding.prefixes import meeting_order
from lib.engines.decoding.stopping import split_stops
from lib.engines.decoding.token_budget import token_budgets
from lib.engines.vllm.loop import Request, VllmLoop
from lib.engines.vllm.tool_calls import ToolReader
from lib.types import (
    REFUSED,
    Answers,
    Completion,
    Completions,
    Label,
    Sampling,
    TokenIds,
    Tokenizer,
    TokenLogprob,
    TokenPair,
    Usage,
)

if TYPE_CHECKING:
    from vllm import CompletionOutput, RequestOutput, SamplingParams

Vectors = npt.NDArray[np.float32]


class VllmEngine:
    """What both kinds of engine share: limits, order, and what is refused."""

    def __init__(self, loop: VllmLoop, *, memory: int, max_model_len: int) -> None:
        """Take a running engine. memory: bytes of its weights on disk (vLLM does not tell those in memory)."""
        self.memory = memory
        self._loop = loop
        self._max_model_len = max_model_len
        self._block: int = loop.engine.vllm_config.cache_config.block_size

    def _too_long(self, prompts: Sequence[TokenIds], output: int) -> dict[int, str]:
        """Prompts that the engine would refuse; output: tokens that must fit behind each."""
        most = self._max_model_len - output
        return {
            number: "the request is empty"
            if not tokens
            else f"{len(tokens)} tokens and {output} of output, engine.max_model_len={self._max_model_len}"
            for number, tokens in enumerate(prompts)
            if not 0 < len(tokens) <= most
        }

    def _answer(self, requests: Sequence[Request], each: int = 1) -> "tuple[list[RequestOutput], Usage]":
        """Outputs in the order of the requests, which the engine gets in the order that its cache likes best.

        each: requests of one prompt, side by side; cached tokens count for the first of them.
        """
        order = meeting_order([request.tokens for request in requests], self._block)
        outputs: list[RequestOutput] = [None] * len(requests)
        before = self._loop.load
        for index, output in zip(order, self._loop.answer([requests[i] for i in order]), strict=True):
            outputs[index] = output
        steps, inside = np.subtract(self._loop.load, before).tolist()
        cached = sum(getattr(output, "num_cached_tokens", None) or 0 for output in outputs[::each])
        return outputs, Usage(cached_tokens=cached, queued=inside / max(steps, 1))


class GeneratingEngine(VllmEngine):
    """A causal language model."""

    def __init__(
        self,
        loop: VllmLoop,
        tokenizer: Tokenizer,
        *,
        memory: int,
        max_model_len: int,
        tools: ToolReader | None = None,
    ) -> None:
        """Take a running engine. tools: what reads calls of tools."""
        super().__init__(loop, memory=memory, max_model_len=max_model_len)
        self._tokenizer = tokenizer
        self._tools = tools

    def label_logprobs(self, prompts: Sequence[TokenIds], labels: Sequence[Label]) -> Answers:
        """Natural-log probability of each label after each prompt: [n, k].

        Every proper prefix of a label's token sequences is a request of its own, which asks for one token's worth of
        log-probabilities; what stands before it comes from the prefix cache.
        """
        from vllm import SamplingParams

        sequences = [distinct(label) for label in labels]
        paths = prefixes(sequences)
        params = [
            SamplingParams(
                max_tokens=1,
                temperature=0.0,
                detokenize=False,
                logprob_token_ids=next_tokens(sequences, path),
                output_kind=_final(),
            )
            for path in paths
        ]
        errors = self._too_long(prompts, 1 + max(map(len, paths)))
        rows = [number for number in range(len(prompts)) if number not in errors]
        requests = [
            Request([*prompts[row], *path], asked) for row in rows for path, asked in zip(paths, params, strict=True)
        ]
        outputs, usage = self._answer(requests, each=len(paths))
        values = np.full((len(prompts), len(labels)), np.nan, dtype=np.float32)
        for position, row in enumerate(rows):
            own = outputs[position * len(paths) : (position + 1) * len(paths)]
            if refused := next((output for output in own if isinstance(output, Exception)), None):
                errors[row] = f"{REFUSED}{refused}"
                continue
            steps = {
                (*path, token): found.logprob
                for path, output in zip(paths, own, strict=True)
                for token, found in output.outputs[0].logprobs[0].items()
            }
            values[row] = [
                np.logaddexp.reduce([sum(steps[s[: i + 1]] for i in range(len(s))) for s in label])
                for label in sequences
            ]
        return _answers(values, errors, usage)

    def generate(self, prompts: Sequence[TokenIds], sampling: Sampling, seeds: Sequence[int]) -> Completions:
        """What follows each prompt, without the prompt.

        seeds: one for each prompt, unused where sampling is greedy; vLLM itself seeds sample k with seed + k.
        """
        assert isinstance(self._tokenizer, HuggingFaceTokenizer)
        budgets, errors = token_budgets(prompts, sampling, self._max_model_len)
        stops = split_stops(sampling.stop, self._tokenizer)
        rows = [number for number in range(len(prompts)) if number not in errors]
        params = [_sampling_params(sampling, budgets[row], stops, seeds[row], self._tools) for row in rows]
        outputs, usage = self._answer([Request(prompts[row], asked) for row, asked in zip(rows, params, strict=True)])
        texts: list[list[Completion]] = [[] for _ in prompts]
        for row, output in zip(rows, outputs, strict=True):
            if isinstance(output, Exception):
                errors[row] = f"{REFUSED}{output}"
            else:
                samples = [_completion(sample, sampling.logprobs) for sample in output.outputs]
                texts[row] = [self._without_calls(sample, sampling) for sample in samples]
        return Completions(texts, errors, usage)

    def _without_calls(self, sample: Completion, sampling: Sampling) -> Completion:
        if sampling.tools is None or self._tools is None:
            return sample
        return self._tools.request(sampling.tools, _constraint(sampling)).read(sample)


class PoolingEngine(VllmEngine):
    """A model that reads a text and gives a vector, a score or the probabilities of classes."""

    def __init__(self, loop: VllmLoop, *, memory: int, max_model_len: int) -> None:
        """Take a running engine."""
        super().__init__(loop, memory=memory, max_model_len=max_model_len)
        self._tasks: Sequence[str] = loop.engine.get_supported_tasks()
        # Only models that tell the second text from the first (BERT's token types) may be told which it is.
        settings = loop.engine.vllm_config.model_config.hf_config
        self._classes = int(settings.num_labels)
        self._has_types = (getattr(settings, "type_vocab_size", None) or 0) > 1

    def score(self, conversations: Sequence[TokenIds]) -> Answers:
        """A reward model's output at each conversation's last token, without an activation: [n, 1]."""
        from vllm import PoolingParams

        if "classify" in self._tasks:
            params = PoolingParams(task="classify", use_activation=False)
            return self._pool([Request(tokens, params) for tokens in conversations])
        # A score for every token that was not in the prefix cache, of which only the last one is wanted.
        params = PoolingParams(task="token_classify", use_activation=False, skip_reading_prefix_cache=False)
        return self._pool([Request(tokens, params) for tokens in conversations], read=lambda output: output[-1])

    def class_logprobs(self, prompts: Sequence[TokenIds]) -> Answers:
        """Natural-log probability of each of the model's classes for each text: [n, k]."""
        from scipy.special import log_softmax
        from vllm import PoolingParams

        params = PoolingParams(task="classify", use_activation=False)
        answers = self._pool([Request(tokens, params) for tokens in prompts], width=self._classes)
        return replace(answers, values=log_softmax(answers.values, axis=1))

    def relevance(self, pairs: Sequence[TokenPair]) -> Answers:
        """A cross-encoder's output for each pair of query and passage, without an activation: [n, 1]."""
        from vllm import PoolingParams

        def params(tokens: TokenIds, first: int) -> "SamplingParams":
            told = self._has_types and first < len(tokens)
            types = {"compressed_token_type_ids": first} if told else None
            return PoolingParams(task="classify", use_activation=False, extra_kwargs=types)

        return self._pool([Request(tokens, params(tokens, first)) for tokens, first in pairs])

    def embed(self, texts: Sequence[TokenIds]) -> Answers:
        """Vectors of unit length: [n, d]."""
        from vllm import PoolingParams

        params = PoolingParams(task="embed", use_activation=True)
        return self._pool([Request(tokens, params) for tokens in texts])

    def _pool(
        self,
        requests: Sequence[Request],
        read: Callable[[Vectors], Vectors] = lambda output: output,
        width: int = 1,
    ) -> Answers:
        """Answers [n, width]; read: what vLLM gives for a request -> [width]. width: where there is no answer."""
        errors = self._too_long([request.tokens for request in requests], 0)
        rows = [number for number in range(len(requests)) if number not in errors]
        outputs, usage = self._answer([requests[row] for row in rows])
        found: dict[int, Vectors] = {}
        for row, output in zip(rows, outputs, strict=True):
            if isinstance(output, Exception):
                errors[row] = f"{REFUSED}{output}"
            else:
                found[row] = read(output.outputs.data.float().numpy())
        width = len(next(iter(found.values()), range(width)))
        values = np.full((len(requests), width), np.nan, dtype=np.float32)
        for row, value in found.items():
            values[row] = value
        return _answers(values, errors, usage)


def _answers(values: Vectors, errors: dict[int, str], usage: Usage) -> Answers:
    for number in np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
        errors.setdefault(number, "the model's output is not a finite number")
        values[number] = np.nan
    return Answers(values, errors, usage)


def _completion(sample: "CompletionOutput", top: int | None) -> Completion:
    """top: of `sampling.logprobs`. vLLM tells these of the token that was taken and of the likeliest, by token id."""
    tokens = list(sample.token_ids)
    logprobs = None
    if top is not None:
        logprobs = []
        for token, step in zip(tokens, sample.logprobs, strict=True):
            ranked = sorted((one for one in step.values() if one.rank <= top), key=lambda one: one.rank)
            likeliest = [(one.decoded_token, one.logprob) for one in ranked]
            logprobs.append(TokenLogprob(step[token].decoded_token, step[token].logprob, likeliest))
    return Completion(sample.text, tokens, sample.finish_reason, logprobs)


def _constraint(sampling: Sampling) -> dict[str, Any]:
    """What a text has to keep to, by the names of StructuredOutputsParams."""
    constraints = {"choice": list(sampling.choice) or None, "regex": sampling.regex, "json": sampling.json_schema}
    return {name: value for name, value in constraints.items() if value is not None}


def _sampling_params(
    sampling: Sampling, budget: int, stops: tuple[list[str], list[int]], seed: int, tools: ToolReader | None
) -> "SamplingParams":
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    asked = _constraint(sampling)
    own = {"structured_outputs": StructuredOutputsParams(**asked) if asked else None}
    if sampling.tools is not None and tools is not None:
        own = tools.request(sampling.tools, asked).params
    return SamplingParams(
        n=sampling.n,
        max_tokens=budget,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        stop=stops[0],
        stop_token_ids=[*stops[1], *sampling.stop_token_ids],
        include_stop_str_in_output=sampling.include_stop,
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
        logit_bias=dict(sampling.logit_bias) or None,
        min_tokens=sampling.min_tokens,
        ignore_eos=sampling.ignore_eos,
        logprobs=sampling.logprobs,
        seed=seed if sampling.temperature else None,
        output_kind=_final(),
        **own,
    )


def _final() -> object:
    from vllm.sampling_params import RequestOutputKind

    return RequestOutputKind.FINAL_ONLY
