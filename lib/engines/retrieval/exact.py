"""Exact search: the passages with the highest cosine (or dot product), among all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from lib.config import transient
from lib.engines.retrieval.corpus import Corpus, Vectors
from lib.engines.retrieval.ranking import Ranking
from lib.engines.retrieval.retriever import CorpusConfig, CorpusEngine, require_vectors
from lib.engines.retrieval.topk import TopK
from lib.errors import ConfigError
from lib.types import Engine, Tokenizer

BLOCK_ROWS = 8192


@dataclass(frozen=True, kw_only=True)
class ExactConfig(CorpusConfig):
    """`conf/retriever/exact.yaml`.

    block_rows: rows of the corpus in memory at a time; they take 4 bytes times the vectors' width each.
    """

    block_rows: int = transient(default=BLOCK_ROWS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block_rows < 1:
            raise ConfigError(f"retriever.block_rows={self.block_rows}: must be at least 1")

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """Nothing to load: the corpus is read by each search."""
        corpus = self.opened()
        return CorpusEngine(corpus, ExactRanker(corpus, self.block_rows), self)


class ExactRanker:
    """Ranks by dot product, the cosine of unit vectors. Reads the corpus once for each call; memory stays flat.

    On one kind of processor scores and ranks are the same whatever the block size, the threads, the workers and the
    queries that are asked together (see TopK).
    """

    memory = 0

    def __init__(self, corpus: Corpus, block_rows: int = BLOCK_ROWS) -> None:
        self._corpus = corpus
        self._block_rows = block_rows

    def rank(self, queries: Sequence[str], vectors: Vectors | None, k: int) -> list[Ranking]:
        """The k rows of the highest cosine for each vector [n, width]."""
        best = TopK(require_vectors(vectors, len(queries), self._corpus), k, unit=self._corpus.unit)
        for rows, block in self._corpus.blocks(self._block_rows):
            best.add(rows, block)
        return best.rankings()
