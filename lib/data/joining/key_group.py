"""Some rows by their keys, and which of them other rows answer."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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
        first, second = halves(self.keys)
        self._ordered = np.lexsort((second, first))
        self._first, self._second = first[self._ordered], second[self._ordered]
        self._most_alike = int(np.unique(first, return_counts=True)[1].max(initial=0))  # keys of one first half: 1

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
        codes = self._look_up(keys)
        return bool(self._left[codes[codes >= 0]].any())

    def answered_by(self, keys: pa.Array | pa.ChunkedArray) -> tuple[Numbers, Numbers]:
        """Which rows these keys [m] answer: places in [0, m), and numbers of the rows. They count as answered then."""
        codes = self._look_up(keys)
        places = np.flatnonzero(codes >= 0)
        found, first = np.unique(codes[places], return_index=True)
        fresh = self._left[found]
        found, places = found[fresh], places[first[fresh]]
        self._left[found] = False
        counts = self._counts[found]
        ends = np.cumsum(counts)
        inside = np.arange(int(counts.sum())) - np.repeat(ends - counts, counts)
        return np.repeat(places, counts), self._numbers[np.repeat(self._starts[found], counts) + inside]

    def _look_up(self, keys: pa.Array | pa.ChunkedArray) -> Numbers:
        """The place of each of these keys [m] in `keys`; -1 where it isn't there, or null.

        By bisection, since Arrow's index_in would hash all keys of the group again for each few that are looked up.
        """
        first, second = halves(keys)
        at = np.searchsorted(self._first, first)
        codes = np.full(len(first), -1, np.int64)
        for step in range(self._most_alike):
            place = np.minimum(at + step, len(self._first) - 1)
            same = (self._first[place] == first) & (self._second[place] == second)
            codes[same] = self._ordered[place[same]]
        codes[keys.is_null().to_numpy(zero_copy_only=False) if keys.null_count else slice(0)] = -1
        return codes


def halves(keys: pa.Array | pa.ChunkedArray) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Both halves of each key [n], as numbers of the same order; those of null mean nothing."""
    array = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    if not len(array):
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    both = np.frombuffer(array.buffers()[1], dtype=">u8", offset=16 * array.offset, count=2 * len(array))
    return both[::2].astype(np.uint64), both[1::2].astype(np.uint64)
