"""The config of commands about a run that is there already."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RunDir:
    """dir: the run's folder."""

    dir: str | None = None
