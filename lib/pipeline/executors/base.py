"""What all executors have in common: their configs' base, and how many shards a worker has in flight."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lib.data.manifest import Shard
from lib.data.shards import Footer
from lib.pipeline.run import Run
from lib.pipeline.stop import Stop

_FEWEST, _MOST = 2, 32


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig(ABC):
    """Where shards are worked on: `conf/executor/<name>.yaml` holds one of its subclasses."""

    @property
    def workers(self) -> int | None:
        """How many workers share the shards; None where only the run finds out."""
        return 1

    @abstractmethod
    def run(self, run: Run, shards: Sequence[Shard], stop: Stop) -> Iterator[Footer]:
        """Work on shards; yield each one's footer as it is committed. Returns early where `stop` asks for it."""


def shards_in_flight(most_at_once: int | None, shard_rows: int) -> int:
    """Shards that a worker has in hand: one in the engine and one being read, tokenized or written, at least.

    most_at_once: requests that the engine runs at the same time (None: it answers one shard after the other). They get
    twice as many rows, lest the engine wait for the slowest rows of a few small shards; but at most 32 shards.
    """
    return min(max(-(-2 * (most_at_once or 0) // shard_rows), _FEWEST), _MOST)
