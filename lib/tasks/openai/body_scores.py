"""Embeddings and scores for OpenAI batch files, as each request's body asks for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lib.tasks.base import Prepared, Result
from lib.tasks.openai import body_task as batch
from lib.tasks.openai.bodies import read_embedding, read_score
from lib.types import Answers, EmbedEngine, RelevanceEngine, Tokenizer, TokenPair


@dataclass(frozen=True)
class EmbedInputs:
    """The task of `jobs.embed` on requests to /v1/embeddings. width: values of the engine's vectors.

    Texts are embedded as they are: no prompt is put before them. Columns: vectors (of length one, one for each text),
    tokens, cut (0).
    """

    width: int

    version = 1
    method = "embed"
    schema = pa.schema({"vectors": pa.list_(pa.list_(pa.float32())), "tokens": pa.int32(), "cut": pa.int32()})

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version}

    def check_body(self, body: Mapping[str, Any]) -> None:
        """Raise ValueError, saying why, for a body that can't be answered."""
        if (dimensions := read_embedding(body).dimensions) is not None and dimensions > self.width:
            raise ValueError(f"dimensions={dimensions}: the engine's vectors have {self.width}")

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """There is nothing to refuse."""

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared:
        """One request for each text."""

        def ask(name: str, given: Mapping[str, Any]) -> batch.BodyRequests:
            body = read_embedding(given)
            texts = [tokenizer.embedding_prompt(text) for text in body.texts]
            return batch.BodyRequests(texts, [len(text) for text in texts], body.dimensions or self.width)

        return batch.prepare(rows, ask, max_tokens)

    def ask(self, engine: EmbedEngine, prepared: Prepared) -> Answers:
        """Vectors [requests, width]."""
        return engine.embed(prepared.requests) if prepared.requests else Answers(np.zeros((0, self.width), np.float32))

    def read(self, prepared: Prepared, answers: Answers) -> Result:
        """The dimensions that are wanted, their length one again."""

        def own(size: int, vectors: Any) -> list[Any]:
            kept = vectors[:, :size]
            return [list(kept / np.linalg.norm(kept, axis=1, keepdims=True) if size < self.width else kept)]

        return batch.result(prepared, answers.values, answers.errors, self.schema, own)


@dataclass(frozen=True)
class ScorePairs:
    """The task of `jobs.rerank` on requests to /v1/score.

    Columns: scores (one for each pair: the model's output as it is, without the activation that vLLM's server puts on
    it by default), tokens, cut (0).
    """

    version = 1
    method = "relevance"
    schema = pa.schema({"scores": pa.list_(pa.float32()), "tokens": pa.int32(), "cut": pa.int32()})

    def identity(self) -> Mapping[str, Any]:
        """Everything about the task that changes results."""
        return {"version": self.version}

    def check_body(self, body: Mapping[str, Any]) -> None:
        """Raise ValueError, saying why, for a body that can't be answered."""
        read_score(body)

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """There is nothing to refuse."""

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared:
        """One request for each pair."""

        def ask(name: str, given: Mapping[str, Any]) -> batch.BodyRequests:
            pairs: list[TokenPair] = [tokenizer.pair_prompt(first, second) for first, second in read_score(given)]
            return batch.BodyRequests(pairs, [len(tokens) for tokens, _ in pairs], None)

        return batch.prepare(rows, ask, max_tokens)

    def ask(self, engine: RelevanceEngine, prepared: Prepared) -> Answers:
        """Scores [requests, 1]."""
        pairs = prepared.notes.requests
        return engine.relevance(pairs) if pairs else Answers(np.zeros((0, 1), np.float32))

    def read(self, prepared: Prepared, answers: Answers) -> Result:
        """The engine's scores as they are."""
        scores = answers.values.reshape(-1)
        return batch.result(prepared, scores, answers.errors, self.schema, lambda about, own: [own.tolist()])
