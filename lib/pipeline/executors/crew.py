"""What a pool asks of its workers and hears of them, wherever they are: actors of a cluster, or simulated ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from lib.data.shards import Footer
from lib.pipeline.executors.shard_queue import Piece

KILLED = "killed the worker"  # reason of a row's failure


@dataclass(frozen=True)
class Placed:
    """A worker has a place on a node, and loads its engine there."""

    worker: int


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its engine. line: about it, for the log."""

    worker: int
    line: str


@dataclass(frozen=True)
class Answered:
    """A worker is done with a piece: it has committed a whole shard, or brings the table of a part of one."""

    worker: int
    piece: Piece
    value: Footer | pa.Table


@dataclass(frozen=True)
class Died:
    """A worker is dead. why: for the log; reason: for a row that turns out to be at fault."""

    worker: int
    why: str
    reason: str
    node_died: bool


News = Placed | Ready | Answered | Died


class Crew(Protocol):
    """Workers, by numbers that the pool gives them, and the clock they live by."""

    def now(self) -> float:
        """Seconds, of a clock that never goes back."""

    def room(self) -> int:
        """How many workers there may be now; it changes where nodes come and go."""

    def hire(self, worker: int) -> None:
        """Start a worker: it looks for a place and loads its engine by itself."""

    def give(self, worker: int, piece: Piece) -> None:
        """Have a worker answer a piece, beside what it has in hand."""

    def dismiss(self, worker: int) -> None:
        """End a worker, whatever it is doing. It is not heard of again."""

    def news(self, seconds: float) -> Iterator[News]:
        """All that happened since the last call; where nothing did, wait so long for the first of it.

        Raises what a worker raised where no row is to blame.
        """
