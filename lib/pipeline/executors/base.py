"""What all executors have in common: their configs' base, and how many shards a worker has in flight."""

from dataclasses import dataclass

_FEWEST, _MOST = 2, 32


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """Where shards are worked on: `conf/executor/<name>.yaml` holds one of its subclasses."""


def shards_in_flight(most_at_once: int | None, shard_rows: int) -> int:
    """Shards that a worker has in hand: one in the engine and one being read, tokenized or written, at least.

    most_at_once: requests that the engine runs at the same time (None: it answers one shard after the other). They get
    twice as many rows, lest the engine wait for the slowest rows of a few small shards; but at most 32 shards.
    """
    return min(max(-(-2 * (most_at_once or 0) // shard_rows), _FEWEST), _MOST)
