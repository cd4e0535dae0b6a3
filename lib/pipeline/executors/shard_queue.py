"""What is to be done of a run's shards, and what a worker's death means for it. No Ray, no engine, no clock.

A piece that was in hand at a worker's death is tried again alone on a fresh worker; when that one dies too, the piece
is halved, and so on until a row is alone. One that then kills three more workers is to be recorded as failed; fewer
may have been killed from outside. The death of a whole node is held against no piece.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from lib.data.manifest import Shard
from lib.errors import RunFailed

_DEATHS_WHILE_LOADING = 3
_DEATHS_OF_A_ROW = 4  # one in company, three alone


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Rows [start, stop) of a shard. deaths: of workers that had it in hand; with any, it is a suspect."""

    shard: Shard
    start: int
    stop: int
    deaths: int = 0

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start

    @property
    def whole(self) -> bool:
        """Is it the whole shard?"""
        return self.rows == self.shard.rows

    def halves(self) -> tuple["Piece", "Piece"]:
        """Its two halves, suspects both."""
        middle = (self.start + self.stop) // 2
        return replace(self, stop=middle, deaths=1), replace(self, start=middle, deaths=1)


class ShardQueue:
    """The pieces that wait and those in workers' hands; whoever moves them says what came of each.

    in_flight: the most pieces that a worker may have in hand. max_restarts: deaths of workers with nothing finished in
    between before giving up.
    """

    def __init__(self, shards: Iterable[Shard], *, in_flight: int, max_restarts: int) -> None:
        self._most, self._max_restarts = in_flight, max_restarts
        self._fresh = deque(Piece(shard=shard, start=shard.start, stop=shard.stop) for shard in shards)
        self._suspects: deque[Piece] = deque()
        self._in_hand: set[Piece] = set()
        self._draining: set[Piece] = set()
        self._parts: dict[int, dict[int, pa.Table]] = {}  # shard number -> first row of a piece -> its table
        self._deaths = self._deaths_while_loading = 0

    @property
    def waiting(self) -> int:
        """Number of pieces that nobody has in hand."""
        return len(self._fresh) + len(self._suspects)

    @property
    def in_hand(self) -> int:
        """Number of pieces that workers have in hand."""
        return len(self._in_hand)

    def next(self, held: Collection[Piece], workers: int) -> Piece | None:
        """The piece that a worker may take now, if any. held: those it has in hand; workers: how many there are.

        A suspect is worked on alone, so that a death is surely its own; while some wait, as many workers get nothing
        else, so that they become free. Towards the end nobody takes more than a fair share of what is left.
        """
        if self._suspects and not held:
            return self._take(self._suspects)
        if self._suspects and self._drains(held):
            return None
        share = -(-(len(self._fresh) + len(self._in_hand)) // max(workers, 1))
        full = len(held) >= min(max(share, 2), self._most)
        if not self._fresh or full or any(piece.deaths for piece in held):
            return None
        return self._take(self._fresh)

    def loaded(self) -> None:
        """A worker has loaded its engine."""
        self._deaths_while_loading = 0

    def finished(self, piece: Piece, table: pa.Table | None = None) -> pa.Table | None:
        """A worker has answered a piece. table: of its rows; None where the worker committed the whole shard itself.

        Returns the table of the whole shard when this was the last of its pieces.
        """
        self._in_hand.remove(piece)
        self._deaths = 0
        return None if table is None else self._gather(piece, table)

    def recorded(self, row: Piece, table: pa.Table) -> pa.Table | None:
        """A row that `died` gave up has its table. Returns as `finished` does."""
        return self._gather(row, table)

    def died(self, held: Sequence[Piece], why: str, *, loading: bool, node_died: bool) -> list[Piece]:
        """A worker has died, and its pieces are taken back; returns the rows among them to be recorded as failed.

        loading: it had not loaded its engine yet. why: for the message. Raises RunFailed where workers die too often.
        """
        self._deaths += 1
        self._deaths_while_loading += loading and not node_died
        if self._deaths_while_loading >= _DEATHS_WHILE_LOADING:
            raise RunFailed(
                f"workers died {self._deaths_while_loading} times while loading the engine, and none has loaded it in "
                f"between; the last death: {why}. Mend that, and run the same line again"
            )
        if self._deaths > self._max_restarts:
            raise RunFailed(
                f"workers died {self._deaths} times with nothing finished in between; the last death: {why}. Mend "
                f"that, or raise executor.max_restarts={self._max_restarts}, and run the same line again"
            )
        self._in_hand.difference_update(held)
        if node_died:
            self._suspects.extend(piece for piece in held if piece.deaths)
            self._fresh.extendleft(piece for piece in held if not piece.deaths)
            return []
        blamed = [replace(piece, deaths=piece.deaths + 1) for piece in held]
        for piece in blamed:
            self._suspects.extend(_again(piece))
        return [piece for piece in blamed if not _again(piece)]

    def _drains(self, held: Collection[Piece]) -> bool:
        """Whether a worker gets nothing until it is free for a suspect; known by the piece that it was given last."""
        self._draining &= self._in_hand
        if self._draining.isdisjoint(held) and len(self._draining) < len(self._suspects):
            self._draining.add([*held][-1])
        return not self._draining.isdisjoint(held)

    def _take(self, queue: deque[Piece]) -> Piece:
        piece = queue.popleft()
        self._in_hand.add(piece)
        return piece

    def _gather(self, piece: Piece, table: pa.Table) -> pa.Table | None:
        """Keep a piece's table; the table of its shard when all its pieces are there."""
        parts = self._parts.setdefault(piece.shard.number, {})
        parts[piece.start] = table
        if sum(part.num_rows for part in parts.values()) < piece.shard.rows:
            return None
        del self._parts[piece.shard.number]
        return pa.concat_tables([parts[start] for start in sorted(parts)])


def _again(piece: Piece) -> tuple[Piece, ...]:
    """As what a piece is tried again: itself, its halves, or, where it is a row that kills, nothing."""
    if piece.deaths < 2:
        return (piece,)
    if piece.rows > 1:
        return piece.halves()
    return (piece,) if piece.deaths < _DEATHS_OF_A_ROW else ()
