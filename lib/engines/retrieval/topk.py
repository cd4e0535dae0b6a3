"""The k best rows of each query by dot product, found block by block in flat memory."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lib.engines.retrieval.corpus import Rows, Vectors
from lib.engines.retrieval.ranking import Ranking

_PRODUCTS = 1 << 22  # of one matrix product, 16 MiB
_GATHERED = 1 << 22  # numbers of the vectors that are scored at a time


class TopK:
    """Takes in blocks of a corpus, in its order, and keeps the k best rows of each query.

    A score is the dot product of two vectors by themselves, in float32. A matrix product, whose last digits depend on
    its shape, only says which rows are worth scoring: those within its rounding error of the k-th best so far. So the
    result depends neither on the size of blocks, nor on which queries are asked together, nor on threads; rows with the
    same vector have the same score.
    """

    def __init__(self, queries: Vectors, k: int, *, unit: bool = True) -> None:
        """queries: [n, width]. unit: whether they and the corpus's vectors have length about one."""
        assert k > 0
        assert queries.size
        self._queries = np.ascontiguousarray(queries)
        self._k = k
        self._unit = unit
        # of two dot products in float32, each summed in any order, by the lengths of both vectors (Higham 2002, section
        # 3.1); here those of each query with vectors of length one
        lengths = np.ones(len(queries), np.float32) if unit else np.linalg.norm(self._queries, axis=1)
        self._errors = lengths * np.float32(queries.shape[1] * 2.0**-23)
        self._floor = np.full(len(queries), -np.inf, np.float32)  # the k-th best score of each query
        self._kept = _Candidates.none()
        self._new: list[_Candidates] = []

    def add(self, rows: Rows, block: Vectors) -> None:
        """The next rows of the corpus [m] with their vectors [m, width]."""
        step = max(_PRODUCTS // len(self._queries), 256)
        for start in range(0, len(rows), step):
            self._add(rows[start : start + step], block[start : start + step])
            if sum(map(len, self._new)) >= len(self._queries) * self._k:
                self._merge()

    def rankings(self) -> list[Ranking]:
        """The best rows of each query among all that were added."""
        self._merge()
        borders = np.searchsorted(self._kept.query, np.arange(len(self._queries) + 1))
        return [Ranking(self._kept.row[start:stop], self._kept.score[start:stop]) for start, stop in pairwise(borders)]

    def _add(self, rows: Rows, block: Vectors) -> None:
        products = self._queries @ block.T
        errors = self._errors if self._unit else self._errors * np.linalg.norm(block, axis=1).max()
        able = np.flatnonzero(products >= (self._floor - errors)[:, None])
        if len(able) > len(self._queries) * self._k:  # at first, say: of this block the k best will do
            able = np.flatnonzero(products >= self._limits(products, errors)[:, None])
        size = max(_GATHERED // block.shape[1], 1)
        for start in range(0, len(able), size):
            query, place = np.divmod(able[start : start + size], len(rows))
            score = np.vecdot(self._queries[query], block[place])
            better = score > self._floor[query]  # a later row has to be better, not only as good
            self._new.append(_Candidates(query[better], rows[place[better]], score[better]))

    def _limits(self, products: Vectors, errors: Vectors) -> Vectors:
        """What a product must reach to be one of the k best, of this block and of all before. errors: [n]."""
        limits = self._floor - errors
        if (rest := products.shape[1] - self._k) > 0:
            limits = np.maximum(limits, np.partition(products, rest, axis=1)[:, rest] - 2 * errors)
        return limits

    def _merge(self) -> None:
        every = _Candidates.joined([self._kept, *self._new])
        every = every.take(np.lexsort((every.row, -every.score, every.query)))
        starts = np.searchsorted(every.query, np.arange(len(self._queries)))
        rank = np.arange(len(every)) - starts[every.query]
        self._kept, self._new = every.take(rank < self._k), []
        last = rank == self._k - 1
        self._floor[every.query[last]] = every.score[last]


class _Candidates:
    """Rows that may be among the best: query number, row and score, [m] each."""

    def __init__(self, query: Rows, row: Rows, score: Vectors) -> None:
        self.query, self.row, self.score = query, row, score

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def none(cls) -> "_Candidates":
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))

    @classmethod
    def joined(cls, parts: list["_Candidates"]) -> "_Candidates":
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("query", "row", "score")))

    def take(self, which: npt.NDArray[np.generic]) -> "_Candidates":
        return _Candidates(self.query[which], self.row[which], self.score[which])
