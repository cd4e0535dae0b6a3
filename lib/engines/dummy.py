"""The dummy engine: deterministic answers without a model, for tests and for looking at the machinery alone.

Answers depend on a request's tokens, the seed and, for labels, the label's tokens: never on batch or order. The texts
that it writes are words without a meaning; they keep to a choice, but to no regex or JSON schema, and penalties and
biases don't move them. Their log-probabilities are made up. It says of itself
that it reads the common beginning of all requests once, and that it has all of them inside at the same time.
"""

import array
import itertools
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from lib.config import later, transient
from lib.engines.base import ModelConfig
from lib.engines.byte_tokenizer import BOS, END, ByteTokenizer
from lib.engines.checkpoints.embedding_prompts import ROLES
from lib.engines.decoding.token_budget import token_budgets
from lib.errors import ConfigError
from lib.types import (
    VERDICTS,
    Answers,
    Completion,
    Completions,
    Engine,
    Label,
    Sampling,
    TokenIds,
    Tokenizer,
    TokenLogprob,
    TokenPair,
    Usage,
)

WIDTH = 16  # of its vectors
_WORDS = ("the", "night", "train", "carries", "letters", "and", "no", "one", "reads", "them", "before", "morning")
_MOST_WORDS = 40  # of a text that it writes


@dataclass(frozen=True, kw_only=True)
class DummyConfig(ModelConfig):
    """`conf/engine/dummy.yaml`.

    seed: of the hash.
    seconds_per_request: time each request takes. exit_on: a request that contains this text kills the process
    (os._exit), as a crash in native code would. fail_on: a request that contains this text gets an error. endings: each
    text that it writes ends with one of these.
    """

    seed: int = 0
    seconds_per_request: float = transient(default=0.0)
    exit_on: str | None = None
    fail_on: str | None = None
    endings: list[str] = later(default_factory=list)  # noqa: RUF009

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seconds_per_request < 0:
            raise ConfigError(f"engine.seconds_per_request={self.seconds_per_request}: must not be negative")
        for key, text in (("exit_on", self.exit_on), ("fail_on", self.fail_on)):
            if text == "":
                raise ConfigError(f"engine.{key}='': every request contains the empty text; use null or some text")

    def check(self, method: str) -> None:
        """It can do all methods, and has nothing that could be missing."""

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """The dummy engine, which answers all methods."""
        return DummyEngine(self)

    def check_sampling(self, sampling: Sampling) -> None:
        """It takes all there is."""

    def embedding_prompts(self) -> Mapping[str, str]:
        """Nothing stands before a text."""
        return dict.fromkeys(ROLES, "")

    def width(self) -> int:
        """Length of its vectors."""
        return WIDTH

    def class_names(self) -> Sequence[str]:
        """Those of a judge's three classes."""
        return VERDICTS


class DummyEngine:
    """Pseudo-random answers from a hash of each request."""

    memory = 0

    def __init__(self, config: DummyConfig) -> None:
        self._config = config
        self._key = config.seed.to_bytes(8, "little", signed=True)

    def label_logprobs(self, prompts: Sequence[TokenIds], labels: Sequence[Label]) -> Answers:
        """Log-probabilities [n, k]: a softmax over the labels and one more outcome that is none of them."""
        hashes = np.array([self._hash([t for s in label for t in (*s, -1)]) for label in labels], dtype=np.uint64)
        logits = 4 * self._uniform(self._hashes(prompts)[:, None] ^ hashes)
        return self._answers(prompts, logits - np.log1p(np.exp(logits).sum(axis=1, keepdims=True)))

    def class_logprobs(self, prompts: Sequence[TokenIds]) -> Answers:
        """Log-probabilities [n, 3]: a softmax over the classes."""
        classes = self._hashes([(place,) for place in range(len(VERDICTS))])
        logits = 4 * self._uniform(self._hashes(prompts)[:, None] ^ classes)
        return self._answers(prompts, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))

    def score(self, conversations: Sequence[TokenIds]) -> Answers:
        """Scores [n, 1], spread as the standard logistic distribution is."""
        uniform = self._uniform(self._hashes(conversations)[:, None])
        return self._answers(conversations, np.log(uniform / (1 - uniform)))

    def relevance(self, pairs: Sequence[TokenPair]) -> Answers:
        """Scores [n, 1], as `score` gives them."""
        return self.score([tokens for tokens, _ in pairs])

    def embed(self, texts: Sequence[TokenIds]) -> Answers:
        """Unit vectors [n, 16] without any meaning."""
        places = self._hashes([(place,) for place in range(WIDTH)])
        vectors = self._uniform(self._hashes(texts)[:, None] ^ places) - 0.5
        return self._answers(texts, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    def generate(self, prompts: Sequence[TokenIds], sampling: Sampling, seeds: Sequence[int]) -> Completions:
        """Pseudo-words after each prompt; those of sample k depend on the prompt, k and (not if greedy) the seed."""
        budgets, errors = token_budgets(prompts, sampling, self._config.max_model_len)
        errors |= self._failures(prompts)
        texts: list[list[Completion]] = [[] for _ in prompts]
        for number in (number for number in range(len(prompts)) if number not in errors):
            seed = str(seeds[number]) if sampling.temperature else ""
            for sample in range(sampling.n):
                key = self._hash([*prompts[number], -1, sample, *seed.encode()])
                found = _completion(key, sampling, budgets[number], self._config.endings)
                texts[number].append(replace(found, logprobs=_logprobs(found.tokens, sampling.logprobs)))
        return Completions(texts, errors, _usage([prompts[number] for number in range(len(prompts)) if texts[number]]))

    def _answers(self, requests: Sequence[TokenIds], values: npt.NDArray[np.float64]) -> Answers:
        errors = self._failures(requests)
        answers = values.astype(np.float32)
        answers[list(errors)] = np.nan
        return Answers(answers, errors, _usage([request for i, request in enumerate(requests) if i not in errors]))

    def _failures(self, requests: Sequence[TokenIds]) -> dict[int, str]:
        """Take the time, and the process's end, that the config asks for; the requests that are to fail."""
        config = self._config
        if config.exit_on is not None and any(_contains(request, config.exit_on) for request in requests):
            os._exit(1)
        if config.seconds_per_request:
            time.sleep(config.seconds_per_request * len(requests))
        failed = [] if config.fail_on is None else [i for i, r in enumerate(requests) if _contains(r, config.fail_on)]
        return dict.fromkeys(failed, f"the request contains engine.fail_on={config.fail_on!r}")

    def _hashes(self, requests: Sequence[TokenIds]) -> npt.NDArray[np.uint64]:
        return np.fromiter(map(self._hash, requests), dtype=np.uint64, count=len(requests))

    def _hash(self, tokens: TokenIds) -> int:
        digest = blake2b(array.array("i", tokens).tobytes(), digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "little")

    @staticmethod
    def _uniform(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
        """Numbers in (0, 1), by the finaliser of SplitMix64 (Steele et al. 2014, "Fast splittable pseudorandom …")."""
        x = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
        return np.asarray(((x >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53)


def _completion(key: int, sampling: Sampling, budget: int, endings: Sequence[str]) -> Completion:
    """A text that follows from the key: one of the choices, or up to 40 words of a small vocabulary and an ending."""
    if sampling.choice:
        text = sampling.choice[key % len(sampling.choice)]
    else:
        rng = random.Random(key)
        text = " ".join(rng.choices(_WORDS, k=rng.randint(1, _MOST_WORDS)))
        if endings:
            text += f"\n{rng.choice(endings)}"
    tokens = [*text.encode(), END]
    found = [(text.index(stop), stop) for stop in sampling.stop if stop in text]
    if found:
        at, stop = min(found)
        text, tokens = text[:at], tokens[: len(f"{text[:at]}{stop}".encode())]
    if len(tokens) <= budget:
        return Completion(text, tokens, "stop")
    return Completion(bytes(tokens[:budget]).decode(errors="ignore")[: len(text)], tokens[:budget], "length")


def _logprobs(tokens: TokenIds, top: int | None) -> list[TokenLogprob] | None:
    """The token is always the likeliest, and those behind it in the alphabet follow."""
    if top is None:
        return None
    names = [ByteTokenizer().decode([token]) for token in range(END + 1)]
    ranked = [[(names[(token + rank) % len(names)], -0.5 - rank) for rank in range(top)] for token in tokens]
    return [TokenLogprob(names[token], -0.5, best) for token, best in zip(tokens, ranked, strict=True)]


def _usage(requests: Sequence[TokenIds]) -> Usage:
    if not requests:
        return Usage()
    ranked = sorted(map(list, requests))
    common = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(ranked[0], ranked[-1], strict=False))
    return Usage(cached_tokens=sum(1 for _ in common) * (len(requests) - 1), queued=float(len(requests)))


def _contains(request: TokenIds, text: str) -> bool:
    return text.encode() in bytes(token for token in request if token < BOS)
