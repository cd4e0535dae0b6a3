"""Approximate search with faiss, for a corpus that outgrows the exact one."""

import importlib.util
import logging
import mmap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.config import transient
from lib.data.atomic import atomic_path
from lib.engines.retrieval.corpus import Corpus, Rows, Vectors
from lib.engines.retrieval.exact import BLOCK_ROWS, ExactRanker
from lib.engines.retrieval.ranking import Ranking, best, mean_recall
from lib.engines.retrieval.retriever import CorpusConfig, CorpusEngine, require_vectors
from lib.errors import ConfigError, EngineError
from lib.types import Engine, Tokenizer

if TYPE_CHECKING:
    from faiss import Index

TRAIN_ROWS = 1 << 18
_DIGEST_BYTES = 32  # behind the index in its file: faiss reads no further than its own
log = logging.getLogger("overnight")


@dataclass(frozen=True, kw_only=True)
class FaissConfig(CorpusConfig):
    """`conf/retriever/faiss.yaml`.

    factory: the index, in the words of faiss's index_factory: `HNSW32`, `IVF4096,SQ8`, …. nprobe: lists that an IVF
    index looks into; ef_search: how far an HNSW one looks around; more finds more and takes longer; null: faiss's own.
    recall_sample: so many of the first queries are searched exactly as well, and the recall is logged; 0: none.
    folder: where the index is kept once it is built; null: each worker builds its own.
    """

    factory: str = "HNSW32"
    nprobe: int | None = None
    ef_search: int | None = None
    recall_sample: int = transient(default=100)
    folder: str | None = transient(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("nprobe", "ef_search"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise ConfigError(f"retriever.{key}={value}: must be at least 1, or null")
        if self.recall_sample < 0:
            raise ConfigError(f"retriever.recall_sample={self.recall_sample}: must not be negative")

    def check(self, method: str) -> None:
        """Raise ConfigError or InputError for what can't be searched, or has no such index."""
        if importlib.util.find_spec("faiss") is None:
            raise ConfigError("retriever=faiss needs faiss; run `pip install faiss-cpu`, or install our extra `ann`")
        super().check(method)
        _tune(_empty(self, self.opened().width), self)

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """The corpus with its index."""
        corpus = self.opened()
        return CorpusEngine(corpus, FaissRanker(corpus, self), self)


class FaissRanker:
    """Ranks what the index finds, by dot product as far as the index keeps whole vectors. All of it is in memory.

    An index is built by one thread, so that every worker has the same. The recall that it logs is of its first
    queries, as many as config.recall_sample says, at the k that is asked for.
    """

    def __init__(self, corpus: Corpus, config: FaissConfig) -> None:
        """Build the index, or read it from its folder. Raises ConfigError, EngineError."""
        self._corpus = corpus
        self._sample = config.recall_sample
        self._turn = threading.Lock()
        self._index = _built_or_read(corpus, config)
        _tune(self._index, config)
        self._rows = np.concatenate([rows for rows, _ in corpus.texts()]) if corpus.left_out else None
        self.memory = _memory(self._index)

    def rank(self, queries: Sequence[str], vectors: Vectors | None, k: int) -> list[Ranking]:
        """About the k rows of the highest cosine for each vector [n, width]."""
        vectors = require_vectors(vectors, len(queries), self._corpus)
        scores, places = self._index.search(np.ascontiguousarray(vectors), k)
        rankings = [self._ranking(place, score, k) for place, score in zip(places, scores, strict=True)]
        with self._turn:
            sample, self._sample = min(self._sample, len(queries)), 0
        if sample:
            recall = self.recall(vectors[:sample], k)
            log.info("recall@%s of the index against exact search, over %s queries: %.4f", k, sample, recall)
        return rankings

    def recall(self, vectors: Vectors, k: int) -> float:
        """Share of the k best rows that the index finds, on average over some queries [n, width]."""
        scores, places = self._index.search(np.ascontiguousarray(vectors), k)
        found = [self._ranking(place, score, k) for place, score in zip(places, scores, strict=True)]
        return mean_recall(found, ExactRanker(self._corpus, BLOCK_ROWS).rank([""] * len(vectors), vectors, k))

    def _ranking(self, places: Rows, scores: Vectors, k: int) -> Ranking:
        found = places >= 0  # -1: the index has looked at fewer than k
        rows = places[found]
        return best(rows if self._rows is None else self._rows[rows], scores[found], k)


def _built_or_read(corpus: Corpus, config: FaissConfig) -> "Index":
    import faiss

    if config.folder is None:
        return _built(corpus, config)
    name = sha256(f"{corpus.hash}\0{config.factory}\0{faiss.__version__}".encode()).hexdigest()
    path = Path(config.folder) / f"{name[:16]}.faiss"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            faiss.write_index(_built(corpus, config), str(temporary))
            digest = _digest(temporary, temporary.stat().st_size)
            with temporary.open("ab") as file:
                file.write(digest)
    size = path.stat().st_size - _DIGEST_BYTES
    if size <= 0 or _digest(path, size) != _end(path, size):
        raise EngineError(f"{path}: damaged, or not written by us; delete it, and it is built again")
    return faiss.read_index(str(path))


def _end(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read()


def _digest(path: Path, size: int) -> bytes:
    """Of the first `size` bytes of a file. faiss itself would take a vector with a flipped bit."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
        return sha256(content).digest()


def _built(corpus: Corpus, config: FaissConfig) -> "Index":
    index = _empty(config, corpus.width)
    with _one_thread():
        if not index.is_trained:
            _train(index, corpus, config)
        for _, block in corpus.blocks(BLOCK_ROWS):
            index.add(block)
    return index


def _train(index: "Index", corpus: Corpus, config: FaissConfig) -> None:
    """Train an index on evenly spaced rows of the corpus."""
    every = -(-corpus.rows // TRAIN_ROWS)
    sample = []
    first = 0
    for _, block in corpus.blocks(BLOCK_ROWS):
        sample.append(block[-first % every :: every])
        first += len(block)
    try:
        index.train(np.concatenate(sample))
    except RuntimeError as error:
        raise ConfigError(
            f"retriever.factory={config.factory}: can't be trained on the {corpus.rows:,} passages of {corpus.path} "
            f"({_reason(error)}); choose fewer lists"
        ) from error


def _empty(config: FaissConfig, width: int) -> "Index":
    import faiss

    try:
        return faiss.index_factory(width, config.factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ConfigError(
            f"retriever.factory={config.factory}: not an index for vectors of {width} numbers ({_reason(error)}); "
            "give one such as HNSW32, or IVF4096,Flat"
        ) from error


def _tune(index: "Index", config: FaissConfig) -> None:
    import faiss

    for key, name, value in (("nprobe", "nprobe", config.nprobe), ("ef_search", "efSearch", config.ef_search)):
        if value is None:
            continue
        try:
            faiss.ParameterSpace().set_index_parameter(index, name, value)
        except RuntimeError as error:
            raise ConfigError(f"retriever.{key}={value}: an index {config.factory} has no such setting") from error


@contextmanager
def _one_thread() -> Iterator[None]:
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _memory(index: "Index") -> int:
    """Bytes of the vectors as the index keeps them; an HNSW's links come on top."""
    vectors = getattr(index, "storage", index)
    return int(vectors.sa_code_size() * index.ntotal)


def _reason(error: RuntimeError) -> str:
    """faiss's message without its source line."""
    return str(error).rpartition(": ")[2]
