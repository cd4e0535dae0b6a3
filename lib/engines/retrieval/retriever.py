"""What the retrievers over a corpus share: their config, what is refused before a run, and the engine itself."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.config import later, transient
from lib.engines.base import EngineConfig
from lib.engines.retrieval.corpus import Corpus, Text, Vectors, require_usable, require_width
from lib.engines.retrieval.passages import around, passage, widened
from lib.engines.retrieval.ranking import Ranking
from lib.engines.retrieval.same_model import require_comparable
from lib.errors import ConfigError
from lib.types import Found, Passage

METHOD = "search"
log = logging.getLogger("overnight")


@dataclass(frozen=True, kw_only=True)
class RetrieverConfig(EngineConfig):
    """An engine that finds passages: `conf/retriever/<name>.yaml` holds one of its subclasses."""

    @property
    def has_corpus(self) -> bool:
        """Whether it searches a corpus of ours, and not the web."""
        return False

    @property
    def needs_vectors(self) -> bool:
        """Whether it compares vectors, so that its corpus and queries have to be embedded first."""
        return False

    def over(self, corpus: str) -> Self:
        """The same retriever over another corpus: a run folder or a Parquet file."""
        raise AssertionError("a retriever without a corpus")

    def check_queries(self, queries: str, vector: pa.DataType | None) -> None:
        """Raise ConfigError for queries whose vectors can't be compared with the corpus's.

        queries: where they are; vector: the type of their column of vectors, None where there is none.
        """

    def check_similarity(self, unit: bool) -> None:
        """Raise ConfigError for an embedder whose vectors can't be compared so. unit: whether they have length one."""

    def check(self, method: str) -> None:
        """Raise ConfigError for a job that is not about searching."""
        if method != METHOD:
            raise ConfigError(
                f"a retriever can search, and not {method}: use it with jobs.retrieve, as in retriever=exact"
            )


class Similarity(Enum):
    """How vectors are compared: by direction alone, or by dot product, where their lengths count for their model."""

    cosine = "cosine"
    dot = "dot"


@dataclass(frozen=True, kw_only=True)
class CorpusConfig(RetrieverConfig):
    """A retriever over a corpus.

    corpus: a Parquet file with the columns id and text (and vector), or a run folder of jobs.embed or jobs.chunk. Its
    content is fingerprinted, not where it lies. window: passages that a hit brings along on either side, of the same
    document; windows that overlap become one passage, so that there may be fewer than asked for. window_joint: between
    the passages of a window, for a corpus that does not say what stands there (jobs.chunk does, as `after`).
    window_legacy: one passage fewer behind the hit, and nothing made one, as in the notebook that our lecture is from.
    similarity: with `cosine` vectors must have length one.
    """

    corpus: str = transient(default="")
    window: int = 0
    window_joint: str = "。"
    window_legacy: bool = False
    similarity: Similarity = later(default=Similarity.cosine)  # noqa: RUF009  an Enum can't change

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.similarity is not Similarity.cosine and not self.needs_vectors:
            raise ConfigError(f"retriever.similarity={self.similarity.value}: has no effect on a search by words alone")
        if self.window < 0:
            raise ConfigError(f"retriever.window={self.window}: must not be negative")
        if self.window_legacy and not self.window:
            raise ConfigError("retriever.window_legacy=true: needs retriever.window, which is 0")

    @property
    def has_corpus(self) -> bool:
        """Its passages are those of `corpus`."""
        return True

    @property
    def needs_vectors(self) -> bool:
        """Unless it searches by words alone."""
        return True

    def opened(self) -> Corpus:
        """The corpus, as this retriever reads it."""
        return Corpus(self.corpus, vectors=self.needs_vectors, unit=self.similarity is Similarity.cosine)

    def over(self, corpus: str) -> Self:
        """The same retriever over another corpus: a run folder or a Parquet file."""
        return replace(self, corpus=corpus)

    def check_queries(self, queries: str, vector: pa.DataType | None) -> None:
        """Raise ConfigError for queries of another width or model."""
        if self.needs_vectors:
            require_comparable(self.corpus, queries, vector)

    def check_similarity(self, unit: bool) -> None:
        """Refuse to compare by direction alone where lengths count."""
        if self.needs_vectors and not unit and self.similarity is Similarity.cosine:
            raise ConfigError(
                "retriever.similarity=cosine: the embedder's vectors are compared by dot product, so their lengths "
                "count; use retriever.similarity=dot"
            )

    def check(self, method: str) -> None:
        """Read the corpus once. Raise ConfigError or InputError for what can't be searched."""
        super().check(method)
        corpus = self.opened()
        if self.window and not corpus.has_documents:
            raise ConfigError(
                f"retriever.window={self.window}: {corpus.path} has no column document that says which passages are "
                "neighbours; use retriever.window=0, or a corpus made by jobs.chunk"
            )
        corpus.check(vectors=self.needs_vectors)
        if corpus.left_out:
            log.warning("%s: %s rows have an `error` and are left out", corpus.path, f"{corpus.left_out:,}")

    def identity(self) -> dict[str, str]:
        """The content of the corpus."""
        return {"corpus_hash": Corpus(self.corpus, vectors=False).hash}


class Ranker(Protocol):
    """Ranks the rows of a corpus for queries. Thread-safe. memory: bytes of its index."""

    memory: int

    def rank(self, queries: Sequence[str], vectors: Vectors | None, k: int) -> list[Ranking]:
        """The best rows for each query, k at most."""


class CorpusEngine:
    """A search engine: a ranker, and the corpus that it ranks."""

    def __init__(self, corpus: Corpus, ranker: Ranker, config: CorpusConfig) -> None:
        self._corpus = corpus
        self._config = config
        self._ranker = ranker
        self._said = False
        self.memory = ranker.memory

    def search(self, queries: Sequence[str], vectors: npt.NDArray[np.float32] | None, k: int) -> Found:
        """At most k passages for each query, best first; of equal scores the lower row of the corpus first.

        vectors: [n, width]. Raises ConfigError where they are needed and missing, or of another width.
        """
        assert k > 0
        if k > self._corpus.rows and not self._said:
            self._said = True
            log.info("k=%s, but the corpus has only %s passages: all of them are ranked", k, self._corpus.rows)
        if not queries:
            return Found([])
        rankings = self._ranker.rank(queries, vectors, min(k, self._corpus.rows))
        hits = np.unique(np.concatenate([ranking.rows for ranking in rankings]))
        texts = self._corpus.lookup(around(hits, self._config.window))
        return Found([self._passages(ranking, texts) for ranking in rankings])

    def _passages(self, ranking: Ranking, texts: Mapping[int, Text]) -> list[Passage]:
        hits = list(zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True))
        if not self._config.window:
            return [passage([texts[row]], score) for row, score in hits]
        return widened(hits, texts, self._config.window, self._config.window_joint, self._config.window_legacy)


def require_vectors(vectors: Vectors | None, queries: int, corpus: Corpus) -> Vectors:
    """The queries' vectors. Raises ConfigError where there are none, or they are as wide as another model's.

    InputError where one contains NaN, or isn't of length one where the corpus's must be.
    """
    if vectors is None:
        raise ConfigError(
            "this retriever compares vectors, and the queries have none: embed them with jobs.embed and the model of "
            "the corpus, or search by words (retriever=bm25_en)"
        )
    assert len(vectors) == queries
    require_width(vectors.shape[1], corpus)
    require_usable(vectors, np.arange(queries), "the queries that were asked together", unit=corpus.unit)
    return np.asarray(vectors, np.float32)
