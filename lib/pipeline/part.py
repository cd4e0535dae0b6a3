"""A part of a run: the shards that one element of a job array works on."""

import re
from dataclasses import dataclass

from lib.config import transient
from lib.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ShardsConfig:
    """Which shards this process works on.

    part: "i/n" with 0 ≤ i < n: those whose number leaves i when divided by n, so that long and short shards mix, and
    no merge at the end; null: all of them, and the merge.
    """

    part: str | None = transient(default=None)

    def __post_init__(self) -> None:
        if self.part is not None and self._numbers is None:
            raise ConfigError(f"shards.part={self.part}: must be i/n with 0 <= i < n, as in shards.part=0/4")

    @property
    def _numbers(self) -> tuple[int, int] | None:
        match = re.fullmatch(r"(\d+)/(\d+)", self.part or "")
        numbers = (int(match[1]), int(match[2])) if match else (0, 0)
        return numbers if numbers[0] < numbers[1] else None

    @property
    def whole(self) -> bool:
        """Whether that is all of them."""
        return self.part is None

    @property
    def suffix(self) -> str:
        """What sets the files of this process apart, such as its log: "" or "-1of4"."""
        return "" if self._numbers is None else "-{}of{}".format(*self._numbers)

    def has(self, shard: int) -> bool:
        """Whether the shard of this number is one of them."""
        if self._numbers is None:
            return True
        element, count = self._numbers
        return shard % count == element


WHOLE = ShardsConfig()
