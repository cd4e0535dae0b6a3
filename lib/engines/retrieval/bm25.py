"""BM25: the passages that share the rarest words with the query (Robertson & Zaragoza 2009), by bm25s."""

import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from lib.engines.retrieval.corpus import Corpus, Vectors
from lib.engines.retrieval.library import bm25s
from lib.engines.retrieval.ranking import NOTHING, Ranking, best
from lib.engines.retrieval.retriever import CorpusConfig, CorpusEngine
from lib.engines.retrieval.words import Language, splitter
from lib.errors import ConfigError, InputError
from lib.types import Engine, Tokenizer


class Method(Enum):
    """Which BM25, by the names of Kamphuis et al. 2020, "Which BM25 Do You Mean?"."""

    lucene = "lucene"
    robertson = "robertson"
    atire = "atire"


@dataclass(frozen=True, kw_only=True)
class Bm25Config(CorpusConfig):
    """`conf/retriever/bm25_en.yaml`, `bm25_ja.yaml`.

    k1: how fast further occurrences of a word cease to count. b: how much a passage's length counts against it, in
    [0, 1].
    """

    language: Language
    k1: float = 1.5
    b: float = 0.75
    method: Method = Method.lucene

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k1 < 0:
            raise ConfigError(f"retriever.k1={self.k1}: must not be negative")
        if not 0 <= self.b <= 1:
            raise ConfigError(f"retriever.b={self.b}: must be in [0, 1]")

    @property
    def needs_vectors(self) -> bool:
        """Words are enough."""
        return False

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """The corpus, indexed."""
        corpus = self.opened()
        return CorpusEngine(corpus, Bm25Ranker(corpus, self), self)


class Bm25Ranker:
    """Ranks by BM25. Its index is in memory: about 8 bytes for each word of each passage, each word once."""

    def __init__(self, corpus: Corpus, config: Bm25Config) -> None:
        """Index the corpus. Raises InputError for one without any word."""
        self._words = splitter(config.language)
        self._turn = threading.Lock()
        self._numbers: dict[str, int] = {}
        rows: list[np.ndarray] = []
        passages: list[array[int]] = []
        for some, texts in corpus.texts():
            rows.append(some)
            passages += [array("i", self._number(text)) for text in texts]
        if not self._numbers:
            raise InputError(
                f"{corpus.path}: there is no word in any of its passages; does retriever.language="
                f"{config.language.value} fit?"
            )
        self._rows = np.concatenate(rows)
        self._index = bm25s().BM25(k1=config.k1, b=config.b, method=config.method.value, backend="numpy")
        self._index.index((passages, self._numbers), create_empty_token=False, show_progress=False)
        self.memory = sum(self._index.scores[name].nbytes for name in ("data", "indices", "indptr"))

    def rank(self, queries: Sequence[str], vectors: Vectors | None, k: int) -> list[Ranking]:
        """The k rows of the highest score for each query; only such as share a word with it."""
        return [self._rank(query, k) for query in queries]

    def _rank(self, query: str, k: int) -> Ranking:
        with self._turn:
            words = self._words(query)
        known = [self._numbers[word] for word in words if word in self._numbers]
        if not known:
            return NOTHING
        scores = self._index.get_scores_from_ids(known)
        found = np.flatnonzero(scores > 0)
        return best(self._rows[found], scores[found], k)

    def _number(self, text: str) -> list[int]:
        return [self._numbers.setdefault(word, len(self._numbers)) for word in self._words(text)]
