"""Workers that only a fake clock knows, for the real Pool and ShardQueue: a thousand of them in a second or so."""

import heapq
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from lib.data.manifest import Shard
from lib.data.shards import Footer
from lib.pipeline.executors.crew import Answered, Died, News, Placed, Ready
from lib.pipeline.executors.pool import Pool
from lib.pipeline.executors.shard_queue import Piece, ShardQueue
from lib.pipeline.stop import Stop


@dataclass(kw_only=True)
class Node:
    """Places for so many workers, from one moment until another (seconds), when all that are on it die."""

    places: int
    joins: float = 0.0
    leaves: float = float("inf")


@dataclass
class _Worker:
    """node: its index; free: when it has answered all that it has in hand; worked: each piece's begin and end."""

    node: int
    ready: float
    free: float
    held: list[Piece] = field(default_factory=list)
    worked: list[tuple[float, float]] = field(default_factory=list)
    gone: float = float("inf")


@dataclass(kw_only=True)
class SimulatedCrew:
    """Workers that answer their pieces one after another, and die of some.

    load, shard: seconds to load an engine and to answer a shard, each within ± `spread` of it as a share; slow_to_load:
    a worker that takes much longer. lifetime: mean seconds until a worker dies of nothing of ours. killers: rows that
    kill whoever has them in hand. driver: seconds that the driver itself took since it was asked last, which pass on
    the fake clock too. calls: what was handed out and heard of so far; driven: seconds of the driver in all.
    """

    nodes: Sequence[Node]
    seed: int = 0
    load: float = 60.0
    shard: float = 30.0
    spread: float = 0.2
    lifetime: float = float("inf")
    killers: Collection[int] = ()
    driver: Callable[[], float] = lambda: 0.0
    calls: int = 0
    driven: float = 0.0
    deaths: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._clock = self.last_given = 0.0
        self._workers: dict[int, _Worker] = {}
        self._buried: list[_Worker] = []
        self._to_come: list[tuple[float, int, News]] = []  # when, a number to keep equal ones in order, what
        self._taken = [0] * len(self.nodes)

    def now(self) -> float:
        spent = self.driver()
        self.driven += spent
        self._clock += spent
        return self._clock

    def room(self) -> int:
        now = self.now()
        return sum(node.places for node in self.nodes if node.joins <= now < node.leaves)

    def hire(self, worker: int) -> None:
        now = self.now()
        index = next(i for i, n in enumerate(self.nodes) if n.joins <= now < n.leaves and self._taken[i] < n.places)
        self._taken[index] += 1
        ready = now + self._about(self.load)
        self._workers[worker] = _Worker(index, ready, ready)
        self._tell(now, Placed(worker))
        self._tell(ready, Ready(worker, "simulated"))
        if self.lifetime != float("inf"):
            self._tell(ready + self._chance.expovariate(1 / self.lifetime), Died(worker, "it died", "dead", False))
        if (leaves := self.nodes[index].leaves) != float("inf"):
            self._tell(leaves, Died(worker, "its node died", "dead", True))

    def give(self, worker: int, piece: Piece) -> None:
        self.calls += 1
        own, now = self._workers[worker], self.now()
        self.last_given = self.last_given if piece.deaths else now
        begins = max(now, own.free)
        own.free = begins + self._about(self.shard * piece.rows / piece.shard.rows)
        own.worked.append((begins, own.free))
        own.held.append(piece)
        if any(piece.start <= row < piece.stop for row in self.killers):
            self._tell(own.free, Died(worker, "a row killed it", "killed the worker", False))
        else:
            self._tell(own.free, Answered(worker, piece, _footer(piece.shard) if piece.whole else _rows(piece)))

    def dismiss(self, worker: int) -> None:
        own = self._workers.pop(worker)
        own.gone = self.now()
        self._taken[own.node] -= 1
        self._buried.append(own)

    def news(self, seconds: float) -> Iterator[News]:
        now = self.now()
        first = self._to_come[0][0] if self._to_come else float("inf")
        self._clock = max(now, min(first, now + seconds))
        happened = []
        while self._to_come and self._to_come[0][0] <= self._clock:
            happened.append(heapq.heappop(self._to_come)[2])
        for news in happened:
            if news.worker in self._workers:
                self.calls += 1
                self.deaths += isinstance(news, Died)
                yield news

    @property
    def waited(self) -> float:
        """Share of the workers' time in which they had nothing in hand, from when each was ready.

        Up to when the last shard was handed out: after that some have to wait, whoever hands out.
        """
        end = self.last_given
        everyone = [*self._buried, *self._workers.values()]
        there = sum(max(min(own.gone, end) - own.ready, 0) for own in everyone)
        worked = sum(max(min(b, own.gone, end) - a, 0) for own in everyone for a, b in own.worked)
        return 1 - worked / there

    def _about(self, seconds: float) -> float:
        return seconds * self._chance.uniform(1 - self.spread, 1 + self.spread)

    def _tell(self, when: float, news: News) -> None:
        heapq.heappush(self._to_come, (when, self._chance.getrandbits(60), news))


def shards_of(count: int, rows: int) -> list[Shard]:
    return [Shard(number=number, input=0, start=rows * number, stop=rows * (number + 1)) for number in range(count)]


def simulate(
    shards: Sequence[Shard],
    crew: SimulatedCrew,
    *,
    in_flight: int = 2,
    heard: Callable[[Footer], None] = lambda footer: None,
) -> tuple[list[Footer], list[int]]:
    """Footers of shards in the order in which they were done, and rows that were recorded as failed.

    heard: what the run does with each footer.
    """
    failed: list[int] = []

    def dead_row(row: Piece, reason: str) -> pa.Table:
        failed.append(row.start)
        return _rows(row)

    def commit(table: pa.Table, shard: Shard) -> Footer:
        assert table["row"].to_pylist() == [*range(shard.start, shard.stop)]
        return _footer(shard)

    queue = ShardQueue(shards, in_flight=in_flight, max_restarts=50)
    pool = Pool(queue, crew, needs="nothing", commit=commit, dead_row=dead_row)
    done = []
    for footer in pool.run(Stop(0)):
        heard(footer)
        done.append(footer)
    pool.close()
    return done, failed


def _rows(piece: Piece) -> pa.Table:
    return pa.table({"row": range(piece.start, piece.stop)})


def _footer(shard: Shard) -> Footer:
    return Footer(
        fingerprint="simulated",
        shard=shard.number,
        input=shard.input,
        start=shard.start,
        rows=shard.rows,
        failed=0,
        tokens=0,
        seconds=0.0,
        cached_tokens=0,
        queued=0.0,
        gpu_utilization=None,
        peak_seconds=None,
    )
