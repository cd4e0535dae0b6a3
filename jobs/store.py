"""Show what a store of answers holds, prune it, and make few files of many.

python -m jobs.store store.dir=DIR
python -m jobs.store store.dir=DIR store.prune_days=30 store.compact=true
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.command import Command
from lib.report.tables import text_table
from lib.store.store import Store, StoreConfig, place_of
from lib.store.upkeep import Holding, compact, holding, prune


@dataclass(frozen=True, kw_only=True)
class UpkeepConfig(StoreConfig):
    """prune_days: remove the answers that were computed more than so many days ago. prune_engine: those of an engine.

    With both, those of the engine that are so old. compact: make few segments of many.
    """

    prune_days: float | None = None
    prune_engine: str | None = None
    compact: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dir is None:
            raise ConfigError("give store.dir=DIR")
        if self.prune_days is not None and self.prune_days < 0:
            raise ConfigError(f"store.prune_days={self.prune_days:g}: must not be negative")


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/store.yaml`."""

    store: UpkeepConfig


def main(config: Config) -> None:
    """Run the job."""
    asked = config.store
    store = Store.at(place_of(str(asked.dir)))
    tables = list(store.tables())
    if asked.prune_days is not None or asked.prune_engine is not None:
        engines = {holding(table).engine for table in tables}
        if asked.prune_engine is not None and asked.prune_engine not in engines:
            known = ", ".join(sorted(engines)) or "nobody"
            raise ConfigError(f"store.prune_engine={asked.prune_engine}: has no answers here; {known} has")
        for table in tables:
            if asked.prune_engine in (None, holding(table).engine):
                answers, size = prune(table, asked.prune_days)
                print(f"pruned:    {table.folder.name}: {answers:,} answers, {_size(size)}")
    if asked.compact:
        for table in tables:
            before, after = compact(table)
            print(f"compacted: {table.folder.name}: {before:,} segments into {after:,}")
    _show(store, [holding(table) for table in tables])


def _show(store: Store, held: Sequence[Holding]) -> None:
    answers, size = sum(one.answers for one in held), sum(one.bytes for one in held)
    print(f"store:     {store.name} ({answers:,} answers to {len(held):,} questions, {_size(size)})")
    if not held:
        return
    header = ("question", "engine", "answers", "segments", "size", "remembered", "runs", "oldest", "newest")
    print(
        text_table(
            header,
            [
                (
                    one.table.folder.name,
                    one.engine,
                    f"{one.answers:,}",
                    f"{one.segments:,}",
                    _size(one.bytes),
                    f"{one.hits:,}",
                    f"{one.runs:,}",
                    _day(one.oldest),
                    _day(one.newest),
                )
                for one in held
            ],
        )
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _day(when: float | None) -> str:
    return "–" if when is None else time.strftime("%Y-%m-%d", time.localtime(when))


JOB = Command("store", Config, main)

if __name__ == "__main__":
    launch(JOB)
