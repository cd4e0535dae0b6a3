"""Job arrays: each element works on its own shards of a run."""

import re
from dataclasses import dataclass
from pathlib import Path

from lib.config import transient
from lib.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ArrayConfig:
    """Which shards this process works on.

    element: "i/n" with 0 ≤ i < n: those whose number leaves i when divided by n, so that long and short shards mix, and
    no merge at the end; null: all of them, and the merge.
    """

    element: str | None = transient(default=None)

    def __post_init__(self) -> None:
        if self.element is not None and self._numbers is None:
            raise ConfigError(f"array.element={self.element}: must be i/n with 0 <= i < n, as in array.element=0/4")

    @property
    def _numbers(self) -> tuple[int, int] | None:
        match = re.fullmatch(r"(\d+)/(\d+)", self.element or "")
        numbers = (int(match[1]), int(match[2])) if match else (0, 0)
        return numbers if numbers[0] < numbers[1] else None

    def has(self, shard: int) -> bool:
        """Whether the shard of this number is worked on here."""
        if self._numbers is None:
            return True
        element, count = self._numbers
        return shard % count == element

    @property
    def count(self) -> int:
        """How many elements there are."""
        return self._numbers[1] if self._numbers else 1

    def file(self, name: str) -> str:
        """The name of a file of this process alone: elements share the run folder. log.txt, or log-1of4.txt."""
        if self._numbers is None:
            return name
        path = Path(name)
        return "{}-{}of{}{}".format(path.stem, *self._numbers, path.suffix)
