"""The check that every row has an id and no two rows have the same."""

import secrets
from array import array
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.errors import InputError

_EXAMPLES = 5
_LOOKED_AT = 4096  # ids at a time, when they are looked at again
_LONG = 1024  # bytes: longer ids are hashed one by one
Place = tuple[str, int]
"""File and row."""


class IdCheck:
    """Gathers 8 bytes a row; ids themselves are looked at again only where two hashes are equal.

    column: what the ids are called; without: the setting that does without them, None where they must be.
    """

    def __init__(self, column: str = "id", without: str | None = None) -> None:
        self._column = column
        self._or_without = "" if without is None else f", or set {without} to do without ids"
        self._seed = secrets.randbits(64)  # so that nobody can make ids of equal hashes
        self._hashes = array("Q")
        self._nulls: list[Place] = []
        self._null_count = 0

    def add(self, ids: pa.Array, file: str, rows: Sequence[int] | npt.NDArray[np.int64]) -> None:
        """Take in the ids (strings) of some rows of a file."""
        self._hashes.frombytes(_hashes(ids, self._seed).tobytes())
        nulls = np.flatnonzero(ids.is_null()) if ids.null_count else np.empty(0, np.int64)
        self._null_count += len(nulls)
        self._nulls += [(file, int(rows[place])) for place in nulls[: _EXAMPLES - len(self._nulls)]]

    def finish(self, ids: Iterable[tuple[str | None, Place]]) -> None:
        """Raise InputError for ids that are null or there twice, naming the first and their places.

        ids: all of them, for a second look where needed.
        """
        if self._null_count:
            raise InputError(
                f"rows without {'an id' if self._column == 'id' else self._column}: {self._null_count}, such as "
                f"{_places(self._nulls)}; fill them in{self._or_without}"
            )
        suspects = self._suspects()
        if len(suspects):
            self._refuse_duplicates(suspects, ids)

    def _suspects(self) -> npt.NDArray[np.uint64]:
        """Hashes, sorted, that came more than once."""
        hashes = np.frombuffer(self._hashes, np.uint64) if self._hashes else np.empty(0, np.uint64)
        hashes.sort()
        return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])

    def _refuse_duplicates(self, suspects: npt.NDArray[np.uint64], ids: Iterable[tuple[str | None, Place]]) -> None:
        seen: dict[str, Place] = {}
        examples: list[str] = []
        ids = iter(ids)
        while len(examples) < _EXAMPLES and (some := list(islice(ids, _LOOKED_AT))):
            suspected = np.isin(_hashes(pa.array([value for value, _ in some], pa.string()), self._seed), suspects)
            for value, place in (some[at] for at in np.flatnonzero(suspected)):
                if value is not None and value in seen and len(examples) < _EXAMPLES:
                    examples.append(f"{value!r} ({_places([seen[value], place])})")
                elif value is not None:
                    seen.setdefault(value, place)
        if examples:
            raise InputError(
                f"{'ids' if self._column == 'id' else f'{self._column}s'} are there more than once ({len(suspects)} of "
                f"them), such as {', '.join(examples)}; remove the repeated rows{self._or_without}"
            )


def _hashes(ids: pa.Array, seed: int) -> npt.NDArray[np.uint64]:
    """A hash of each string, from eight of its bytes at a time: uint64 [n]."""
    _, offsets, content = ids.buffers()
    starts = np.frombuffer(offsets, np.int32)[ids.offset : ids.offset + len(ids) + 1].astype(np.int64)
    lengths = np.diff(starts)
    text = np.frombuffer((b"" if content is None else content.to_pybytes()) + bytes(8), np.uint8)
    words = np.ndarray(len(text) - 7, "<u8", text, strides=(1,))  # at each byte, it and the seven behind it
    found = _mixed(lengths.astype(np.uint64) ^ np.uint64(seed))
    rows = np.flatnonzero(lengths <= _LONG)
    for at in range(0, _LONG, 8):
        rows = rows[lengths[rows] > at]
        if not len(rows):
            break
        missing = (8 - np.minimum(lengths[rows] - at, 8)).astype(np.uint64)
        word = words[starts[rows] + at] << (missing * np.uint64(8))
        found[rows] = _mixed(found[rows] ^ word)
    for row in np.flatnonzero(lengths > _LONG):
        found[row] ^= np.uint64(hash(ids[row].as_py()) % 2**64)
    return found


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Each bit of a number has a say in each bit of what it becomes (the last steps of MurmurHash3)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(33))


def _places(places: Sequence[Place]) -> str:
    return ", ".join(f"{file} row {row}" for file, row in places)
