"""Where nothing is asked: the rows that are left are bad ones, so no engine is loaded for them."""

from collections.abc import Iterator, Sequence

from lib.data.manifest import Shard
from lib.data.shards import Footer, commit
from lib.pipeline.run import Executor, Run
from lib.pipeline.stop import Stop
from lib.pipeline.worker import failed_rows, keyed_rows


def as_needed(executor: Executor, run: Run) -> Executor:
    """The executor of a run's config, or BadRows where it would have nothing to ask."""
    return executor if run.manifest.computed else BadRows()


class BadRows:
    """Records the bad rows of shards that have no others."""

    def run(self, run: Run, shards: Sequence[Shard], stop: Stop) -> Iterator[Footer]:
        """Commit the shards; yield each one's footer. Returns early where `stop` asks for it."""
        for shard in shards:
            if stop.requested:
                return
            table = failed_rows(keyed_rows(run, shard.input, shard.start, shard.stop), run)
            yield commit(table, shard, run.manifest, run.folder, seconds=0.0)
