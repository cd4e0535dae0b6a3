"""The check that every row has an id and no two rows have the same."""

import secrets
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.data.joining.text_hashes import Hashes, text_hashes
from lib.errors import InputError

_EXAMPLES = 5
_LOOKED_AT = 4096  # ids at a time, when they are looked at again
_IN_MEMORY = 1 << 20  # hashes: 8 MiB
_EDGES = np.arange(1, 256, dtype=np.uint64) << np.uint64(56)  # of the ranges of hashes that are compared at once
Place = tuple[str, int]
"""File and row."""


class IdCheck:
    """Gathers a hash of each id; ids themselves are looked at again only where two hashes are equal.

    column: what the ids are called; without: the setting that does without them, None where they must be. folder: for
    the hashes of more than a million rows, 8 bytes each, in a file that goes with the process; None: the system's own.
    """

    def __init__(self, column: str = "id", without: str | None = None, folder: Path | None = None) -> None:
        self._column = column
        self._or_without = "" if without is None else f", or set {without} to do without ids"
        self._seed = secrets.randbits(64)  # so that nobody can make ids of equal hashes
        self._hashes = _Numbers(folder)
        self._nulls: list[Place] = []
        self._null_count = 0

    def add(self, ids: pa.Array, file: str, rows: Sequence[int] | npt.NDArray[np.int64]) -> None:
        """Take in the ids (strings) of some rows of a file."""
        self._hashes.add(text_hashes(ids, self._seed))
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
        suspects = self._hashes.repeated()
        if len(suspects):
            self._refuse_duplicates(suspects, ids)

    def _refuse_duplicates(self, suspects: Hashes, ids: Iterable[tuple[str | None, Place]]) -> None:
        seen: dict[str, Place] = {}
        examples: list[str] = []
        ids = iter(ids)
        while len(examples) < _EXAMPLES and (some := list(islice(ids, _LOOKED_AT))):
            suspected = np.isin(text_hashes(pa.array([value for value, _ in some], pa.string()), self._seed), suspects)
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


class _Numbers:
    """Numbers in any order, of which those that came more than once are wanted: memory is the same for however many."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._waiting: list[Hashes] = []
        self._count = 0
        self._file: Any = None
        self._runs: list[list[int]] = []  # where the ranges of each sorted run begin in the file, and where it ends

    def add(self, numbers: Hashes) -> None:
        """Take in some numbers [n]."""
        self._waiting.append(numbers)
        self._count += len(numbers)
        if self._count >= _IN_MEMORY:
            self._write()

    def repeated(self) -> Hashes:
        """Those that came more than once, in their order."""
        if not self._runs:
            return _repeated(self._waiting)
        self._write()
        ranges = zip(*map(pairwise, self._runs), strict=True)
        with self._file:
            return np.concatenate([_repeated([self._read(*part) for part in parts]) for parts in ranges])

    def _write(self) -> None:
        run = np.sort(np.concatenate([np.empty(0, np.uint64), *self._waiting]))
        self._waiting, self._count = [], 0
        if self._file is None:
            self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115  # closed by `repeated`, or when nobody asks
        start = self._runs[-1][-1] if self._runs else 0
        self._runs.append([start, *(start + np.searchsorted(run, _EDGES)).tolist(), start + len(run)])
        self._file.write(run)

    def _read(self, start: int, stop: int) -> Hashes:
        self._file.seek(8 * start)
        return np.frombuffer(self._file.read(8 * (stop - start)), np.uint64)


def _repeated(parts: Sequence[Hashes]) -> Hashes:
    numbers = np.sort(np.concatenate([np.empty(0, np.uint64), *parts]))
    return np.unique(numbers[1:][numbers[1:] == numbers[:-1]])


def _places(places: Sequence[Place]) -> str:
    return ", ".join(f"{file} row {row}" for file, row in places)
