"""Hybrid search: by vectors and by words, the two rankings fused by their ranks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lib.config import transient
from lib.engines.retrieval.bm25 import Bm25Config, Bm25Ranker
from lib.engines.retrieval.corpus import Vectors
from lib.engines.retrieval.exact import BLOCK_ROWS, ExactRanker
from lib.engines.retrieval.ranking import NOTHING, Ranking, best
from lib.engines.retrieval.retriever import CorpusEngine, Ranker
from lib.errors import ConfigError
from lib.types import Engine, Tokenizer


@dataclass(frozen=True, kw_only=True)
class HybridConfig(Bm25Config):
    """`conf/retriever/hybrid_en.yaml`, `hybrid_ja.yaml`: exact search and BM25 by reciprocal-rank fusion.

    k_rrf: how little the first ranks stand out. depth: passages of each ranking that are fused; as many as are asked
    for, where that is more. weights: of the vectors' ranking and of the words'. block_rows: as of exact search.
    """

    k_rrf: float = 60.0
    depth: int = 100
    weights: list[float] = field(default_factory=lambda: [1.0, 1.0])
    block_rows: int = transient(default=BLOCK_ROWS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k_rrf < 0:
            raise ConfigError(f"retriever.k_rrf={self.k_rrf}: must not be negative")
        if self.depth < 1 or self.block_rows < 1:
            raise ConfigError(
                f"retriever.depth={self.depth}, retriever.block_rows={self.block_rows}: must be at least 1"
            )
        if len(self.weights) != 2 or min(self.weights) < 0 or max(self.weights) == 0:
            raise ConfigError(
                f"retriever.weights={self.weights}: must be two numbers, of the vectors and of the words, none "
                "negative, not both 0"
            )

    @property
    def needs_vectors(self) -> bool:
        """For one of the two rankings."""
        return True

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """The corpus, its words indexed."""
        corpus = self.opened()
        rankers: list[Ranker] = [ExactRanker(corpus, self.block_rows), Bm25Ranker(corpus, self)]
        return CorpusEngine(corpus, HybridRanker(rankers, self), self)


class HybridRanker:
    """Fuses the rankings of other rankers."""

    def __init__(self, rankers: Sequence[Ranker], config: HybridConfig) -> None:
        self._rankers = rankers
        self._config = config
        self.memory = sum(ranker.memory for ranker in rankers)

    def rank(self, queries: Sequence[str], vectors: Vectors | None, k: int) -> list[Ranking]:
        """The k rows of the highest fused score for each query."""
        depth = max(self._config.depth, k)
        rankings = [ranker.rank(queries, vectors, depth) for ranker in self._rankers]
        return [fuse(both, self._config.weights, self._config.k_rrf, k) for both in zip(*rankings, strict=True)]


def fuse(rankings: Sequence[Ranking], weights: Sequence[float], k_rrf: float, k: int) -> Ranking:
    """Reciprocal-rank fusion (Cormack et al. 2009): a row's score is the sum of weight / (k_rrf + rank), from rank 1.

    A ranking in which the row is missing adds nothing.
    """
    scores: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, row in enumerate(ranking.rows.tolist() if weight else [], 1):
            scores[row] = scores.get(row, 0.0) + weight / (k_rrf + rank)
    if not scores:
        return NOTHING
    return best(np.fromiter(scores, np.int64), np.fromiter(scores.values(), np.float64), k)
