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
    """Gathers 8 bytes a row; ids themselves are looked at again only where two hashes are equal."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._nulls: list[Place] = []
        self._null_count = 0

    def add(self, ids: Sequence[str | None], file: str, first_row: int) -> None:
        """Take in the ids of consecutive rows."""
        self._hashes.extend(map(hash, ids))
        nulls = [(file, first_row + n) for n, value in enumerate(ids) if value is None]
        self._null_count += len(nulls)
        self._nulls += nulls[: _EXAMPLES - len(self._nulls)]

    def suspects(self) -> npt.NDArray[np.int64]:
        """Hashes, sorted, that came more than once. Raises InputError for null ids."""
        if self._null_count:
            raise InputError(
                f"rows without an id: {self._null_count}, such as {_places(self._nulls)}; "
                "fill them in, or set data.columns.id=null to do without ids"
            )
        hashes = np.frombuffer(self._hashes, np.int64) if self._hashes else np.empty(0, np.int64)
        hashes.sort()
        return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def refuse_duplicates(suspects: npt.NDArray[np.int64], ids: Iterable[tuple[str | None, Place]]) -> None:
    """Raise InputError where ids with one of these hashes are equal, naming the first and their places."""
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
            f"ids are there more than once ({len(suspects)} of them), such as {', '.join(examples)}; "
            "remove the repeated rows, or set data.columns.id=null to do without ids"
        )


def _places(places: Sequence[Place]) -> str:
    return ", ".join(f"{file} row {row}" for file, row in places)
