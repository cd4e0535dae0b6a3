"""Answers of a server: text, labels, vectors and scores."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lib.engines.checkpoints.tokenizer import HuggingFaceTokenizer
from lib.engines.decoding.label_tokens import distinct, next_tokens, prefixes
from lib.engines.decoding.stopping import split_stops
from lib.engines.decoding.token_budget import token_budgets
from lib.engines.endpoint import dialects, label_reading, reply_reading
from lib.engines.endpoint.asks import Ask, Asker
from lib.engines.endpoint.client import Client
from lib.engines.endpoint.dialects import DIALECTS
from lib.engines.endpoint.label_reading import Spelling
from lib.engines.endpoint.limits import Prices
from lib.engines.endpoint.reply_reading import Reply, Top
from lib.engines.endpoint.server_tokenizer import ServerTokenizer
from lib.engines.endpoint.tries import Refused
from lib.errors import ConfigError, Unfinished
from lib.images import ImagePrompt
from lib.types import (
    Answers,
    Completion,
    Completions,
    Label,
    Replies,
    Sampling,
    Served,
    ServerPrompt,
    TokenIds,
    TokenPair,
    Usage,
)

_MAY_DIFFER = 32, 0.05  # tokens of a prompt, and share of them: another date in a chat template, say

_UNSEEN = "executor=server: asks by token ids, which show no images; use executor=ray or inline"

Read = TypeVar("Read")
Values = float | list[float] | npt.NDArray[np.float32]


class EndpointEngine:
    """A model behind a server. Its answers are in the order of the requests, whatever the order they come in."""

    memory = 0

    def __init__(
        self,
        asker: Asker,
        client: Client,
        tokenizer: ServerTokenizer,
        *,
        prices: Prices,
        max_model_len: int,
        top: Mapping[str, int],
        width: int | None,
        share: float,
    ) -> None:
        """top: by path, of how many likeliest tokens the server tells. share: of what the run spends, this worker's."""
        self._asker, self._client, self._tokenizer, self._prices = asker, client, tokenizer, prices
        self._dialect = DIALECTS[asker.server]
        self._max_model_len, self._top, self._width, self._share = max_model_len, top, width, share
        self._replies: Replies | None = None

    def keeping(self, replies: Replies) -> "EndpointEngine":
        """The same engine with its connections, about some rows whose answers are kept."""
        own = copy.copy(self)
        own._replies = replies
        return own

    def charge(self, cost: float) -> None:
        """Count what the run has spent before."""
        self._client.budget.spent += cost * self._share

    def close(self) -> None:
        """Ask nothing more."""
        self._client.close()

    def generate(self, prompts: Sequence[TokenIds], sampling: Sampling, seeds: Sequence[int]) -> Completions:
        """What follows each prompt. seeds: told to servers that take them; elsewhere draws can't be repeated."""
        try:
            dialects.check_sampling(sampling, self._asker.server)
        except ConfigError as error:  # of a body of a batch: a config's was checked before
            return Completions([[] for _ in prompts], dict.fromkeys(range(len(prompts)), str(error)), Usage())
        sampling = self._with_special_stops(sampling)
        budgets, errors = token_budgets(prompts, sampling, self._max_model_len)
        errors |= {row: _UNSEEN for row, prompt in enumerate(prompts) if isinstance(prompt, ImagePrompt)}
        rows = [row for row in range(len(prompts)) if row not in errors]
        each = 1 if self._dialect.samples else sampling.n  # requests for a prompt
        asks = [
            self._asker.text(prompts[row], sampling, budgets[row], seeds[row], k) for row in rows for k in range(each)
        ]
        found, usage = self._ask(asks, partial(reply_reading.texts, samples=sampling.n // each))
        texts: list[list[Completion]] = [[] for _ in prompts]
        for place, row in enumerate(rows):
            own = found[place * each : (place + 1) * each]
            refused = next((answer for answer, _ in own if isinstance(answer, Refused)), None)
            if refused is not None:
                errors[row] = refused.why
                continue
            for answer, reply in own:
                assert not isinstance(answer, Refused)
                told = reply_reading.counts(reply).completion if len(answer) == 1 else 0
                for text in answer:
                    tokens = [-1] * told or self._tokenizer.encode(text.text)
                    texts[row].append(Completion(text.text, tokens, text.finish_reason))
        return Completions(texts, errors, usage)

    def label_logprobs(self, prompts: Sequence[TokenIds], labels: Sequence[Label]) -> Answers:
        """Natural-log probability of each label after each prompt: [n, k].

        Of labels that a server doesn't tell of, as it tells of the likeliest tokens only, an upper bound: the usage
        counts them. Servers that tell of any token are asked for just those of the labels, which need our tokenizer to
        be theirs.
        """
        if self._dialect.by_id and self._tokenizer.names_tokens:
            return self._by_id(prompts, [distinct(label) for label in labels])
        return self._by_text(prompts, [[self._spelling(tokens) for tokens in distinct(label)] for label in labels])

    def embed(self, texts: Sequence[TokenIds]) -> Answers:
        """Vectors of unit length: [n, width]."""
        assert self._width is not None, "the config's check refuses it"
        asks = [self._asker.vector(text) for text in texts]
        found, usage = self._ask(asks, partial(reply_reading.vector, width=self._width))
        return _answers([answer for answer, _ in found], self._width, usage)

    def relevance(self, pairs: Sequence[TokenPair]) -> Answers:
        """What the server gives each pair of query and passage: [n, 1]."""
        found, usage = self._ask([self._asker.score(pair) for pair, _ in pairs], reply_reading.score)
        return _answers([answer for answer, _ in found], 1, usage)

    def _by_id(self, prompts: Sequence[TokenIds], labels: Sequence[Sequence[tuple[int, ...]]]) -> Answers:
        """Every proper prefix of a label's tokens is a request, for the tokens that may come after it."""
        paths = prefixes(labels)
        asks = [
            self._asker.next_token(self._after(prompt, path), top=self._top, ids=next_tokens(labels, path))
            for prompt in prompts
            for path in paths
        ]
        found, usage = self._ask(asks, reply_reading.top)
        rows: list[Values | Refused] = []
        for number, prompt in enumerate(prompts):
            own = found[number * len(paths) : (number + 1) * len(paths)]
            refused = next((answer for answer, _ in own if isinstance(answer, Refused)), None)
            if refused is not None:
                rows.append(refused)
                continue
            self._require_same_tokenizer(prompt, own[0][1])
            steps = {
                (*path, token): answer.logprobs.get(f"token_id:{token}")
                for path, (answer, _) in zip(paths, own, strict=True)
                if not isinstance(answer, Refused)
                for token in next_tokens(labels, path)
            }
            if None in steps.values():
                rows.append(Refused("the server tells nothing of the tokens that it was asked for"))
                continue
            rows.append(
                [
                    float(np.logaddexp.reduce([sum(steps[s[: i + 1]] or 0.0 for i in range(len(s))) for s in label]))
                    for label in labels
                ]
            )
        return _answers(rows, len(labels), usage)

    def _by_text(self, prompts: Sequence[TokenIds], labels: Sequence[Sequence[Spelling]]) -> Answers:
        """The likeliest tokens after each prompt, and after it and what a label begins with."""
        tops: list[dict[str, Top]] = [{} for _ in prompts]
        errors: dict[int, str] = {}
        usage = Usage()
        waiting = [(row, "") for row in range(len(prompts))]
        while waiting:
            asks = [self._asker.next_token(prompts[row], begun, top=self._top) for row, begun in waiting]
            found, more = self._ask(asks, reply_reading.top)
            usage = Usage(
                usage.cached_tokens + more.cached_tokens,
                max(usage.queued, more.queued),
                usage.served + more.served,
            )
            for (row, begun), (answer, _) in zip(waiting, found, strict=True):
                if isinstance(answer, Refused):
                    errors[row] = answer.why
                else:
                    tops[row][begun] = answer
            asked = dict.fromkeys(row for row, _ in waiting if row not in errors and self._dialect.continues)
            waiting = [(row, begun) for row in asked for begun in label_reading.to_ask(labels, tops[row])]
        rows: list[Values | Refused] = []
        bounded, lost = 0, 0.0
        for row, own in enumerate(tops):
            readings = [] if row in errors else [label_reading.read(label, own) for label in labels]
            unread = errors.get(row) or next((one for one in readings if isinstance(one, str)), None)
            if unread is not None:
                rows.append(Refused(unread))
                continue
            known = [one for one in readings if not isinstance(one, str)]
            rows.append([one.logprob for one in known])
            bounded += sum(one.bounded for one in known)
            lost = max(lost, own[""].lost)
        served = usage.served + Served(bounded=bounded, lost_mass=lost)
        return _answers(rows, len(labels), Usage(usage.cached_tokens, usage.queued, served))

    def _after(self, prompt: TokenIds, path: Sequence[int]) -> TokenIds:
        """A prompt whose answer begins with some tokens."""
        if self._asker.ids:
            return [*prompt, *path]
        assert isinstance(prompt, ServerPrompt)
        begun = prompt.told.begun + self._tokenizer.decode(path)
        return ServerPrompt([*prompt, *path], replace(prompt.told, begun=begun))

    def _with_special_stops(self, sampling: Sampling) -> Sampling:
        """Stop texts that are special tokens by their ids, where the server takes those: no text shows them."""
        counts = self._tokenizer.counts
        if "stop_token_ids" not in self._dialect.optional or not isinstance(counts, HuggingFaceTokenizer):
            return sampling
        texts, ids = split_stops(sampling.stop, counts)
        return replace(sampling, stop=tuple(texts), stop_token_ids=(*ids, *sampling.stop_token_ids))

    def _spelling(self, tokens: Sequence[int]) -> Spelling:
        """The text of a label's tokens, and where they end, if they are the model's."""
        decode = self._tokenizer.decode
        ends = frozenset(decode(tokens[:size]) for size in range(1, len(tokens)))
        return Spelling(decode(tokens), ends if self._tokenizer.names_tokens else None)

    def _ask(
        self, asks: Sequence[Ask], read: Callable[[Reply], Read | Refused]
    ) -> tuple[list[tuple[Read | Refused, Reply]], Usage]:
        before = self._client.load
        found = self._client.ask(asks, read, self._replies)
        sent, load = np.subtract(self._client.load, before).tolist()
        took = [reply_reading.counts(reply) for _, reply in found]
        cost = sum(
            self._prices.cost(each.prompt or ask.tokens, each.completion, each.cached)
            for ask, each, (_, reply) in zip(asks, took, found, strict=True)
            if reply
        )
        served = Served(
            prompt_tokens=sum(each.prompt for each in took),
            completion_tokens=sum(each.completion for each in took),
            cost=cost,
        )
        return found, Usage(sum(each.cached for each in took), load / max(sent, 1), served)

    def _require_same_tokenizer(self, prompt: TokenIds, reply: Reply) -> None:
        """Raise Unfinished where the server counts a prompt otherwise: our ids of labels are not its own."""
        told = reply_reading.counts(reply).prompt
        most, share = _MAY_DIFFER
        if told and abs(told - len(prompt)) > max(most, share * len(prompt)):
            raise Unfinished(
                f"engine.tokenizer: it makes {len(prompt)} tokens of a prompt that the server counts as {told}, so it "
                "is not the tokenizer (or not the chat template) of the served model, and labels would be read from "
                "other tokens; name the right one, or leave it out"
            )


def _answers(found: Sequence[Values | Refused], width: int, usage: Usage) -> Answers:
    """Answers [n, width] of values, and errors of what was refused."""
    values = np.full((len(found), width), np.nan, dtype=np.float32)
    errors = {}
    for row, answer in enumerate(found):
        if isinstance(answer, Refused):
            errors[row] = answer.why
        else:
            values[row] = answer
    return Answers(values, errors, usage)
