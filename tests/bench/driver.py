"""The driver of a run with a thousand workers, simulated, beside what its messages cost with real actors.

python -m tests.bench.driver [SHARDS]

Workers answer a shard in 30 s ± 20 % and load their engine in 60 s; a fifth of them comes late, nodes of 8 leave with
all that they hold, and every worker dies once in six hours by itself. The driver's loop, its ShardQueue and the run's
Progress are the real ones, and the processor time that they take passes on the workers' clock. So does what a message
to an actor or from one costs with Ray, which two real actors with shards of two rows tell before: of all threads of
the driver's process. Waited: the share of the workers' time in which they had nothing in hand, from when each was ready
until the last shard was handed out. Busy: the driver's share of the run's time.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from lib.data.shards import commit
from lib.pipeline.executors.pool import Pool
from lib.pipeline.executors.ray_crew import RayCrew
from lib.pipeline.executors.shard_queue import ShardQueue
from lib.pipeline.progress import Progress
from lib.pipeline.stop import Stop
from tests.bench.judging import overrides, planned
from tests.pipeline.executors.simulated import Node, SimulatedCrew, shards_of, simulate

SHARDS, ROWS, WORKERS, LIFETIME = 100_000, 100, (40, 1_000, 10_000), 6 * 3600.0


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, and print a table in Markdown."""
    shards = shards_of(int(arguments[0]) if arguments else SHARDS, ROWS)
    message = _message()
    print(f"a message to or from an actor: {message * 1e6:.0f} µs of the driver's processor time\n")
    print("| workers | shards | simulated h | deaths | waited | driver busy | µs a shard, without Ray |")
    print("|---|---|---|---|---|---|---|")
    for workers in WORKERS:
        crew = SimulatedCrew(nodes=_nodes(workers), lifetime=LIFETIME)
        crew.driver = _cost(crew, message)
        with tempfile.TemporaryDirectory() as folder, Progress(Path(folder), ROWS * len(shards), []) as progress:
            done, _ = simulate(shards, crew, heard=progress.add)
        assert sorted(footer.shard for footer in done) == list(range(len(shards)))
        own = (crew.driven - message * crew.calls) / len(shards)
        print(
            f"| {workers:,} | {len(shards):,} | {crew.last_given / 3600:.2f} | {crew.deaths} | {crew.waited:.3%} | "
            f"{crew.driven / crew.last_given:.1%} | {own * 1e6:.0f} |",
            flush=True,
        )


def _nodes(workers: int) -> list[Node]:
    """Nodes of 8: a fifth comes late, over ten minutes, and one in fifty leaves in the first hour."""
    count = workers // 8
    late = range(count * 4 // 5, count)
    return [
        Node(
            places=8,
            joins=300.0 + 600.0 * (number - late.start) / len(late) if number in late else 0.0,
            leaves=600.0 + 50.0 * number if number % 50 == 7 else float("inf"),
        )
        for number in range(count)
    ]


def _cost(crew: SimulatedCrew, message: float) -> Callable[[], float]:
    """Seconds since it was asked last: processor time of this thread, and what messages would have cost."""
    cpu, calls = time.thread_time(), crew.calls

    def spent() -> float:
        nonlocal cpu, calls
        before, cpu = cpu, time.thread_time()
        said, calls = crew.calls - calls, crew.calls
        return cpu - before + message * said

    return spent


def _message() -> float:
    """Processor seconds of this process for a message, with real actors."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=128 << 20, logging_level=40)
    line = overrides("engine=dummy", "run.shard_rows=2", "run.max_error_rate=1", rows=1_000)
    with planned(line) as run:
        shards = run.manifest.shards()
        crew = RayCrew(run, room=lambda: 2, cpus_per_worker=1, in_flight=2)
        pool = Pool(
            ShardQueue(shards, in_flight=2, max_restarts=0),
            crew,
            needs="a CPU",
            commit=partial(commit, manifest=run.manifest, folder=run.folder, seconds=0.0),
            dead_row=lambda row, reason: NotImplemented,
        )
        footers = pool.run(Stop(0))
        next(footers)
        start = time.process_time()
        count = sum(1 for _ in footers)
        spent = time.process_time() - start
        pool.close()
    ray.shutdown()
    return spent / (2 * count)  # a shard is handed out, and heard of


if __name__ == "__main__":
    main(sys.argv[1:])
