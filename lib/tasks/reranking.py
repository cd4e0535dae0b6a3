"""Reranking: how well each passage of a row answers its question, and which are kept.

Two ways: a language model says yes or no, and the score is the log-odds of its answer (Nogueira et al. 2020, "Document
Ranking with a Pretrained Sequence-to-Sequence Model", and Qwen3-Reranker); or a cross-encoder gives a score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.config import identity, of_rule, transient
from lib.errors import ConfigError
from lib.tasks.base import Asked, Prepared, Result, Task, as_table
from lib.tasks.passage_columns import PASSAGES, passage_columns, read_passages
from lib.tasks.prompts.labels import Spelled, ask_labels, label_sequences, longest, require_mass, spell
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.slots import check_prompt, fit_slots, slot_values
from lib.types import Answers, LabelEngine, Passage, RelevanceEngine, Tokenizer, TokenPair

_PROBES = ("query", "passage")
FIELDS = ("question", "passages")

About = TypeVar("About")


class RerankBy(Enum):
    """Who tells: a language model that answers yes or no (with the labels of its prompt), or a cross-encoder."""

    labels = "labels"
    cross_encoder = "cross_encoder"


@dataclass(frozen=True, kw_only=True)
class RerankConfig:
    """Which passages are kept: those that score above `threshold`, and of these the `top_n` best; null keeps all.

    top_n: of those above the threshold the so many best; null: all.

    by: who tells. A score is the log-odds of yes against no (0: as likely as not), or what the cross-encoder gives.
    min_label_mass: where yes and no together are less likely than that (the median of the first shard), the run stops.
    """

    by: RerankBy = RerankBy.labels
    threshold: float | None = of_rule(default=None)
    top_n: int | None = of_rule(default=None)
    min_label_mass: float = transient(default=0.1)

    def __post_init__(self) -> None:
        if self.top_n is not None and self.top_n < 1:
            raise ConfigError(f"rerank.top_n={self.top_n}: must be at least 1, or null for all")
        if not 0 <= self.min_label_mass < 1:
            raise ConfigError(f"rerank.min_label_mass={self.min_label_mass}: must be in [0, 1); 0 takes any")
        if self.by is RerankBy.cross_encoder and self.min_label_mass != RerankConfig.min_label_mass:
            raise ConfigError("rerank.min_label_mass: has no effect with rerank.by=cross_encoder; leave it out")


class _Retrieved(NamedTuple, Generic[About]):
    """What is remembered of rows: their passages, and what the requests are about."""

    passages: list[list[Passage]]
    about: About


@dataclass(frozen=True)
class _Reranker(Task[Asked, _Retrieved[About], Answers], Generic[Asked, About]):
    """What both ways share: rows in, rows with their passages in a new order out."""

    config: RerankConfig

    answered = pa.schema({"passage_scores": pa.list_(pa.float64()), "tokens": pa.int32(), "cut": pa.int32()})

    @property
    def schema(self) -> pa.Schema:
        """The columns that the task adds to a row."""
        ranked = {"question": pa.string(), **PASSAGES, "retrieved_ranks": pa.list_(pa.int32())}
        return pa.schema([*pa.schema(ranked), *self.answered])

    def question(self) -> Mapping[str, Any]:
        """Everything that changes scores: not which passages are kept."""
        return {**self.identity(), "rerank": identity(self.config, rules=False)}

    def conclude(self, rows: pa.Table, answered: pa.Table) -> pa.Table:
        """The passages that are kept, in the order of their scores."""
        questions, passages = self._rows(rows)
        kept, ranks = [], []
        for own, scores in zip(passages, answered["passage_scores"].to_pylist(), strict=True):
            order = self._order(scores or [])
            kept.append([replace(own[place], score=scores[place]) for place in order])
            ranks.append(order)
        return as_table([questions, *passage_columns(kept), ranks, *answered.columns], self.schema)

    def _rows(self, rows: pa.Table) -> tuple[list[str], list[list[Passage]]]:
        questions = [" ".join(values["question"]) for values in slot_values(rows, ["question"])]
        return questions, read_passages(rows)

    def _scored(
        self,
        prepared: Prepared[_Retrieved[About]],
        scores: npt.NDArray[np.float64],
        errors: Mapping[int, str],
        *more: Sequence[object],
    ) -> Result:
        """scores: [requests]; errors: request number -> why; more: further columns.

        A row of which a passage has no score has failed.
        """
        first = _first(prepared)
        failed = {}
        for row, own in enumerate(prepared.notes.passages):
            bad = [place for place in range(len(own)) if first[row] + place in errors]
            if bad:
                failed[row] = f"passage {own[bad[0]].id}: {errors[first[row] + bad[0]]}"
        lengths = [len(request) for request in prepared.requests]
        tokens = [sum(lengths[a:b]) for a, b in pairwise(first)]
        columns = [[scores[a:b] for a, b in pairwise(first)], tokens, prepared.cut, *more]
        return self.result(columns, failed)

    def _order(self, scores: Sequence[float]) -> list[int]:
        """Places of the passages that are kept, best first; of equal scores the one that was retrieved first."""
        order = sorted(range(len(scores)), key=lambda place: (-scores[place], place))
        threshold = self.config.threshold
        above = [place for place in order if threshold is None or scores[place] > threshold]
        return above[: self.config.top_n]


@dataclass(frozen=True)
class JudgeRelevance(_Reranker[LabelEngine, list[Spelled]]):
    """The task of `jobs.rerank` with a language model, by the labels of its prompt: yes, then no.

    Columns: question, those of PASSAGES in the new order with the new scores, retrieved_ranks (where each stood before,
    from 0), passage_scores (of all passages, also those that are not kept, in the order in which they were retrieved),
    tokens and cut (of all the row's requests), label_mass (probability of yes and no together, on average over these
    requests).
    """

    prompt: PromptConfig

    answered = _Reranker.answered.append(pa.field("label_mass", pa.float64()))
    version = 5
    method = "label_logprobs"

    def __post_init__(self) -> None:
        self.prompt.require(("question", "passage"))
        self.prompt.require_labels("relevant", "irrelevant")
        of_others = ("means", "weights", "aggregate", "turn", "decimals", "images")
        self.prompt.require_unset(*of_others, why="on a reranker's prompt, whose labels are yes and no")

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version, "rerank": identity(self.config), "prompt": identity(self.prompt)}

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Refuse labels that can't be told apart, and a prompt that leaves no room."""
        check_prompt(self.prompt, tokenizer, max_tokens, output=longest(self.prompt.labels, tokenizer))
        empty = self.prompt.tokens({"question": [""], "passage": [""]}, tokenizer)
        label_sequences(self.prompt.labels, tokenizer, empty)

    def writes_chats(self, tokenizer: Tokenizer) -> bool:
        """Whether the texts of rows become turns of chats."""
        return self.prompt.is_chat(tokenizer)

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[_Retrieved[list[Spelled]]]:
        """One request for each passage."""
        room = max_tokens - longest(self.prompt.labels, tokenizer)
        questions, passages = self._rows(rows)
        fitted = [
            [fit_slots({"question": [q], "passage": [p.text]}, self.prompt, tokenizer, room) for p in own]
            for q, own in zip(questions, passages, strict=True)
        ]
        requests = [one.requests[0] for row in fitted for one in row]
        return Prepared(
            requests,
            [sum(sum(one.cut) for one in row) for row in fitted],
            _Retrieved(passages, spell(self.prompt.labels, tokenizer, requests)),
            counts=[len(own) for own in passages],
        )

    def ask(self, engine: LabelEngine, prepared: Prepared[_Retrieved[list[Spelled]]]) -> Answers:
        """Log-probabilities of yes and no [requests, 2]."""
        return ask_labels(engine, prepared.requests, prepared.notes.about, len(self.prompt.labels))

    def read(self, prepared: Prepared[_Retrieved[list[Spelled]]], answers: Answers) -> Result:
        """Scores are log-odds: log P(yes) - log P(no)."""
        values = answers.values.astype(np.float64).reshape(-1, 2)
        mass, first = np.exp(values).sum(axis=1), _first(prepared)
        means = [None if a == b or np.isnan(mass[a:b]).any() else mass[a:b].mean() for a, b in pairwise(first)]
        return self._scored(prepared, values[:, 0] - values[:, 1], answers.errors, means)

    def check_first(self, results: pa.Table) -> None:
        """Raise ConfigError where nearly no probability is on yes and no."""
        least = self.config.min_label_mass
        require_mass(results["label_mass"], least, self.prompt.labels, key="rerank.min_label_mass")


@dataclass(frozen=True)
class CrossEncode(_Reranker[RelevanceEngine, list[TokenPair]]):
    """The task of `jobs.rerank` with a cross-encoder. Columns: as of JudgeRelevance, without label_mass."""

    version = 3
    method = "relevance"

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version, "rerank": identity(self.config)}

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """There must be room for more than the tokens around two texts."""
        require_separator(tokenizer)
        fixed = len(tokenizer.pair_prompt("", "")[0])
        if fixed >= max_tokens:
            raise ConfigError(f"engine.max_model_len={max_tokens}: the tokens around two texts alone are {fixed}")

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared[_Retrieved[list[TokenPair]]]:
        """One pair for each passage: what is too long is cut at the end of the passage."""
        questions, passages = self._rows(rows)
        pairs, cuts = [], []
        for question, own in zip(questions, passages, strict=True):
            fitted = [_pair(question, passage.text, tokenizer, max_tokens) for passage in own]
            pairs += [pair for pair, _ in fitted]
            cuts.append(sum(cut for _, cut in fitted))
        notes = _Retrieved(passages, pairs)
        return Prepared([list(tokens) for tokens, _ in pairs], cuts, notes, counts=[len(own) for own in passages])

    def ask(self, engine: RelevanceEngine, prepared: Prepared[_Retrieved[list[TokenPair]]]) -> Answers:
        """Scores [requests, 1]."""
        return engine.relevance(prepared.notes.about)

    def read(self, prepared: Prepared[_Retrieved[list[TokenPair]]], answers: Answers) -> Result:
        """The engine's scores as they are."""
        scores = answers.values.astype(np.float64).reshape(-1)
        return self._scored(prepared, scores, answers.errors)


def _first(prepared: Prepared[_Retrieved[About]]) -> list[int]:
    """Numbers of the first request of each row, and the number of all requests."""
    assert prepared.counts is not None
    return [int(number) for number in np.cumsum([0, *prepared.counts])]


def require_separator(tokenizer: Tokenizer) -> None:
    """Raise ConfigError for a tokenizer that puts nothing between two texts: the model could not tell them apart."""
    glued = [*tokenizer.encode(_PROBES[0]), *tokenizer.encode(_PROBES[1])]
    ids, _ = tokenizer.pair_prompt(*_PROBES)
    if any(list(ids[at : at + len(glued)]) == glued for at in range(len(ids))):
        raise ConfigError(
            "rerank.by=cross_encoder: the engine's tokenizer puts nothing between a query and a passage, as those of "
            "decoders do; such a reranker has a prompt of its own: use rerank.by=labels with it, or a cross-encoder"
        )


def _pair(question: str, passage: str, tokenizer: Tokenizer, max_tokens: int) -> tuple[TokenPair, int]:
    """Question and passage as one request of at most `max_tokens`, and the tokens cut from the passage's end.

    A question that alone is too long stays so: the engine then refuses the row.
    """
    pair = tokenizer.pair_prompt(question, passage)
    if len(pair[0]) <= max_tokens:
        return pair, 0
    whole = tokenizer.spans(passage)
    keep = len(whole)
    while len(pair[0]) > max_tokens and keep:
        keep = max(keep - (len(pair[0]) - max_tokens), 0)
        pair = tokenizer.pair_prompt(question, passage[: whole[keep - 1][1]] if keep else "")
    return pair, len(whole) - keep
