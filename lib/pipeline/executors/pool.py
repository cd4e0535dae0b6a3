"""A pool of workers that pull shards, are replaced when they die, and lose nothing. It grows with the cluster.

It moves messages; what is worked on when, and what a death means, the ShardQueue decides. What an event costs does not
grow with the number of workers.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from lib.data.manifest import Shard
from lib.data.shards import Footer
from lib.log import log
from lib.pipeline.executors.crew import Answered, Crew, Died, Placed, Ready
from lib.pipeline.executors.shard_queue import Piece, ShardQueue
from lib.pipeline.stop import Stop

_WAIT = 0.2  # seconds for news, before `stop` is looked at
_LOOK_EVERY = 2.0  # seconds between looks for room for more workers
_HIRED_AT_ONCE = 32  # at a look: a thousand would import their libraries and read the weights at the same moment
_REPORT_EVERY = 60.0


@dataclass
class _Worker:
    """A worker and what it is doing: waiting for a place on a node, loading its engine, then pieces.

    since: when it began to wait.
    """

    since: float
    placed: bool = False
    loaded: bool = False
    held: list[Piece] = field(default_factory=list)


class Pool:
    """The workers of a run; `close` it.

    needs: of a worker, for a message. commit: writes the table of a shard whose parts were answered one by one.
    dead_row: the table of a row that no worker survives, and why.
    """

    def __init__(
        self,
        queue: ShardQueue,
        crew: Crew,
        *,
        needs: str,
        commit: Callable[[pa.Table, Shard], Footer],
        dead_row: Callable[[Piece, str], pa.Table],
    ) -> None:
        self._queue, self._crew, self._needs = queue, crew, needs
        self._commit, self._dead_row = commit, dead_row
        self._workers: dict[int, _Worker] = {}
        self._numbers = itertools.count()
        self._hungry: set[int] = set()  # workers that may take a piece, as far as is known
        self._next_look = self._next_report = 0.0

    def run(self, stop: Stop) -> Iterator[Footer]:
        """Work until every shard is done or `stop` says so; yield each one's footer as it is committed.

        Raises RunFailed where workers die too often, and what a worker raised where no row is to blame.
        """
        while not stop.expired:
            if not stop.requested:
                self._recruit()
                self._hand_out()
            if not self._queue.in_hand and (stop.requested or not self._queue.waiting):
                return
            for news in self._crew.news(_WAIT):
                match news:
                    case Placed(number):
                        self._workers[number].placed = True
                    case Ready(number, line):
                        log.info("a worker is ready: %s", line)
                        self._workers[number].loaded = True
                        self._hungry.add(number)
                        self._queue.loaded()
                    case Answered(number, piece, value):
                        self._workers[number].held.remove(piece)
                        self._hungry.add(number)
                        yield from self._take_in(piece, value)
                    case Died():
                        yield from self._bury(news)

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        for number in self._workers:
            self._crew.dismiss(number)

    def _recruit(self) -> None:
        """Start workers while there is room for more and work for them; say so where some find no place."""
        now = self._crew.now()
        if now < self._next_look and self._workers:
            return
        self._next_look = now + _LOOK_EVERY
        pieces = self._queue.waiting + self._queue.in_hand
        wanted = min(max(self._crew.room(), 1), pieces) - len(self._workers)
        for number in itertools.islice(self._numbers, max(min(wanted, _HIRED_AT_ONCE), 0)):
            self._workers[number] = _Worker(now)
            self._crew.hire(number)
        waiting = sum(not worker.placed and now - worker.since > _REPORT_EVERY for worker in self._workers.values())
        if waiting and now >= self._next_report:
            self._next_report = now + _REPORT_EVERY
            log.warning(
                "%d workers wait for a node with %s free; `ray status` shows who has them", waiting, self._needs
            )

    def _hand_out(self) -> None:
        """Offer pieces to the workers that may take one, to whoever has fewest first, until nobody takes any."""
        if not self._queue.waiting:
            return
        offers = [(len(self._workers[number].held), number) for number in self._hungry]
        heapq.heapify(offers)
        while offers:
            count, number = heapq.heappop(offers)
            worker = self._workers[number]
            piece = self._queue.next(worker.held, len(self._workers))
            if piece is not None:
                worker.held.append(piece)
                self._crew.give(number, piece)
                heapq.heappush(offers, (count + 1, number))
            elif count:  # it is offered more when it has answered one; with none in hand it goes on waiting
                self._hungry.remove(number)

    def _take_in(self, piece: Piece, value: Footer | pa.Table) -> Iterator[Footer]:
        """The footer of a shard that is whole with this piece."""
        if isinstance(value, Footer):
            self._queue.finished(piece)
            yield value
        elif (table := self._queue.finished(piece, value)) is not None:
            yield self._commit(table, piece.shard)

    def _bury(self, death: Died) -> Iterator[Footer]:
        """Replace a dead worker; record the rows that turn out to be at fault."""
        worker = self._workers.pop(death.worker)
        self._hungry.discard(death.worker)
        self._crew.dismiss(death.worker)
        rows = self._queue.died(worker.held, death.why, loading=not worker.loaded, node_died=death.node_died)
        log.warning("a worker died (%s); %s", death.why, "its node died" if death.node_died else "starting another")
        self._next_look = 0.0
        for row in rows:
            log.warning("row %d of shard %d kills its worker: recorded as failed", row.start, row.shard.number)
            table = self._queue.recorded(row, self._dead_row(row, death.reason))
            if table is not None:
                yield self._commit(table, row.shard)
