"""The check that every row has an id and no two rows have the same."""

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from lib.errors import InputError

_EXAMPLES = 5
Place = tuple[str, int]
"""File and row."""


class IdCheck:
    """Gathers 8 bytes a row; ids themselves are looked at again only where two hashes are equal.

    column: what the ids are called; without: the setting that does without them, None where they must be.
    """

    def __init__(self, column: str = "id", without: str | None = None) -> None:
        self._column = column
        self._or_without = "" if without is None else f", or set {without} to do without ids"
        self._hashes = array("q")
        self._nulls: list[Place] = []
        self._null_count = 0

    def add(self, ids: Sequence[str | None], file: str, rows: Sequence[int]) -> None:
        """Take in the ids of some rows of a file."""
        self._hashes.extend(map(hash, ids))
        nulls = [(file, row) for row, value in zip(rows, ids, strict=True) if value is None]
        self._null_count += len(nulls)
        self._nulls += nulls[: _EXAMPLES - len(self._nulls)]

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

    def _suspects(self) -> npt.NDArray[np.int64]:
        """Hashes, sorted, that came more than once."""
        hashes = np.frombuffer(self._hashes, np.int64) if self._hashes else np.empty(0, np.int64)
        hashes.sort()
        return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])

    def _refuse_duplicates(self, suspects: npt.NDArray[np.int64], ids: Iterable[tuple[str | None, Place]]) -> None:
        wanted = set(suspects[:1000].tolist())  # far more than chance makes equal
        seen: dict[str, Place] = {}
        examples: list[str] = []
        for value, place in ids:
            if value is None or hash(value) not in wanted:
                continue
            if value in seen:
                examples.append(f"{value!r} ({_places([seen[value], place])})")
                if len(examples) == _EXAMPLES:
                    break
            seen.setdefault(value, place)
        if examples:
            raise InputError(
                f"{'ids' if self._column == 'id' else f'{self._column}s'} are there more than once ({len(suspects)} of "
                f"them), such as {', '.join(examples)}; remove the repeated rows{self._or_without}"
            )


def _places(places: Sequence[Place]) -> str:
    return ", ".join(f"{file} row {row}" for file, row in places)
