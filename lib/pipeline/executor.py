"""What every executor's config has."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """Where shards are worked on: `conf/executor/<name>.yaml` holds one of its subclasses."""
