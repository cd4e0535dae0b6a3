"""Embeddings and scores for OpenAI batch files, as each request's body asks for them."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.tasks.base import Prepared, Result
from lib.tasks.openai.body_task import About, Body, BodyNotes, BodyRequests, BodyTask
from lib.tasks.openai.pooling_bodies import RerankRequest, read_embedding, read_rerank, read_score
from lib.tasks.reranking import require_separator
from lib.types import Answers, EmbedEngine, RelevanceEngine, Tokenizer, TokenPair

RERANK = "/v1/rerank"

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EmbedInputs(BodyTask[EmbedEngine, list[int], int, Vector, Answers]):
    """The task of `jobs.embed` on requests to /v1/embeddings. width: values of the engine's vectors.

    unit: whether these have length one. Texts are embedded as they are: no prompt is put before them. Columns: vectors
    (one for each text),
    tokens, cut (0).
    """

    width: int
    unit: bool = True

    method = "embed"
    schema = pa.schema({"vectors": pa.list_(pa.list_(pa.float32())), "tokens": pa.int32(), "cut": pa.int32()})

    def check_body(self, body: Body) -> None:
        """Raise ValueError, saying why, for a body that can't be answered."""
        if (dimensions := read_embedding(body).dimensions) is not None and dimensions > self.width:
            raise ValueError(f"dimensions={dimensions}: the engine's vectors have {self.width}")

    def requests(self, key: str, body: Body, tokenizer: Tokenizer) -> BodyRequests[list[int], int]:
        """One request for each text; the dimensions that are wanted."""
        read = read_embedding(body)
        texts = [tokenizer.embedding_prompt(tokenizer.plain(text)) for text in read.texts]
        return BodyRequests(texts, [len(text) for text in texts], read.dimensions or self.width)

    def ask(self, engine: EmbedEngine, prepared: Prepared[BodyNotes[list[int], int]]) -> Answers:
        """Vectors [requests, width]."""
        return engine.embed(prepared.requests) if prepared.requests else Answers(np.zeros((0, self.width), np.float32))

    def read(self, prepared: Prepared[BodyNotes[list[int], int]], answers: Answers) -> Result:
        """The dimensions that are wanted, their length one again where it was."""
        return self.rows(prepared, answers.values, answers.errors)  # type: ignore[arg-type]  # rows of an array

    def cells(self, about: int, answers: Sequence[Vector]) -> list[object]:
        """Vectors of `about` values."""
        kept = np.asarray(answers)[:, :about]
        return [list(kept / np.linalg.norm(kept, axis=1, keepdims=True) if about < self.width and self.unit else kept)]


class PairTask(BodyTask[RelevanceEngine, TokenPair, About, float, Answers], Generic[About]):
    """What the tasks of a cross-encoder share. Scores are the model's output as it is, without an activation."""

    method = "relevance"

    def check(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """Refuse a tokenizer that puts nothing between two texts."""
        require_separator(tokenizer)

    @abstractmethod
    def pairs(self, body: Body) -> tuple[Sequence[tuple[str, str]], About]:
        """What is scored, and what is wanted of it. Raises ValueError for a body that can't be answered."""

    def check_body(self, body: Body) -> None:
        """Raise ValueError, saying why, for a body that can't be answered."""
        self.pairs(body)

    def requests(self, key: str, body: Body, tokenizer: Tokenizer) -> BodyRequests[TokenPair, About]:
        """One request for each pair."""
        texts, about = self.pairs(body)
        pairs = [tokenizer.pair_prompt(first, second) for first, second in texts]
        return BodyRequests(pairs, [len(tokens) for tokens, _ in pairs], about)

    def ask(self, engine: RelevanceEngine, prepared: Prepared[BodyNotes[TokenPair, About]]) -> Answers:
        """Scores [requests, 1]."""
        pairs = prepared.notes.requests
        return engine.relevance(pairs) if pairs else Answers(np.zeros((0, 1), np.float32))

    def read(self, prepared: Prepared[BodyNotes[TokenPair, About]], answers: Answers) -> Result:
        """The engine's scores as they are."""
        return self.rows(prepared, answers.values.reshape(-1).tolist(), answers.errors)


@dataclass(frozen=True)
class ScorePairs(PairTask[int]):
    """The task of `jobs.rerank` on requests to /v1/score. Columns: scores (one for each pair), tokens, cut (0)."""

    schema = pa.schema({"scores": pa.list_(pa.float32()), "tokens": pa.int32(), "cut": pa.int32()})

    def pairs(self, body: Body) -> tuple[Sequence[tuple[str, str]], int]:
        """Those of the body, and how many they are."""
        pairs = read_score(body)
        return pairs, len(pairs)

    def cells(self, about: int, answers: Sequence[float]) -> list[object]:
        """The scores of the row's pairs."""
        return [list(answers)]


@dataclass(frozen=True)
class RerankDocuments(PairTask[RerankRequest]):
    """The task of `jobs.rerank` on requests to /v1/rerank.

    Columns: indices (of the best documents among the request's, best first; of equals the first), documents, scores
    (theirs), tokens (of all pairs), cut (0).
    """

    schema = pa.schema(
        {
            "indices": pa.list_(pa.int32()),
            "documents": pa.list_(pa.string()),
            "scores": pa.list_(pa.float32()),
            "tokens": pa.int32(),
            "cut": pa.int32(),
        }
    )

    def pairs(self, body: Body) -> tuple[Sequence[tuple[str, str]], RerankRequest]:
        """The query with each of the documents."""
        read = read_rerank(body)
        return [(read.query, document) for document in read.documents], read

    def cells(self, about: RerankRequest, answers: Sequence[float]) -> list[object]:
        """The best documents."""
        best = sorted(range(len(answers)), key=lambda index: -answers[index])[: about.most]
        return [best, [about.documents[index] for index in best], [answers[index] for index in best]]
