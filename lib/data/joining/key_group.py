"""Some rows by their keys, and which of them other rows answer."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Numbers = npt.NDArray[np.int64]

GROUP_ROWS = 1 << 19
"""Rows of a group, about: some 50 MB."""


class KeyGroup:
    """Rows [n] with keys and numbers; rows of one key stand in the order of their numbers."""

    def __init__(self, keys: pa.Array, numbers: Numbers) -> None:
        encoded = keys.dictionary_encode()
        self.keys = encoded.dictionary  # each once, in the order in which they come first
        self._codes: Numbers = encoded.indices.to_numpy().astype(np.int64)
        order = np.argsort(self._codes, kind="stable")
        self._numbers = numbers[order]
        self._counts = np.bincount(self._codes, minlength=len(self.keys))
        self._starts = np.cumsum(self._counts) - self._counts
        self._order = order
        self._left = np.ones(len(self.keys), dtype=np.bool_)

    @property
    def complete(self) -> bool:
        """Whether all are."""
        return not self._left.any()

    @property
    def answered(self) -> int:
        """How many keys are."""
        return int((~self._left).sum())

    @property
    def places(self) -> Numbers:
        """Of each row [n] the number of its equals before it."""
        places = np.empty(len(self._order), np.int64)
        places[self._order] = np.arange(len(self._order)) - np.repeat(self._starts, self._counts)
        return places

    def repeats(self) -> Numbers:
        """The numbers of rows that are not answered and have an equal before them."""
        places = np.arange(len(self._order)) - np.repeat(self._starts, self._counts)
        return self._numbers[(places > 0) & np.repeat(self._left, self._counts)]

    def wants(self, keys: pa.Array | pa.ChunkedArray) -> bool:
        """Whether some of these keys are of rows that are not answered yet."""
        codes = pc.index_in(keys, value_set=self.keys).drop_null()
        return bool(self._left[codes.to_numpy().astype(np.int64)].any())

    def answered_by(self, keys: pa.Array) -> tuple[Numbers, Numbers]:
        """Which rows these keys [m] answer: places in [0, m), and numbers of the rows. They count as answered then."""
        codes = pc.index_in(keys, value_set=self.keys)
        known = pc.is_valid(codes).to_numpy(zero_copy_only=False)
        places = np.flatnonzero(known)
        found = codes.filter(pa.array(known)).to_numpy().astype(np.int64)
        found, first = np.unique(found, return_index=True)
        fresh = self._left[found]
        found, places = found[fresh], places[first[fresh]]
        self._left[found] = False
        counts = self._counts[found]
        ends = np.cumsum(counts)
        inside = np.arange(int(counts.sum())) - np.repeat(ends - counts, counts)
        return np.repeat(places, counts), self._numbers[np.repeat(self._starts[found], counts) + inside]
