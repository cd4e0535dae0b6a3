"""A job in stages: each stage is a run of its own, below one folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from lib.engines.base import EngineConfig
from lib.pipeline.planning.estimate import EstimateConfig

Config = TypeVar("Config")


@dataclass(frozen=True)
class StagedJob(Generic[Config]):
    """A command that works through stages: `python -m jobs.<name>`.

    config: the type of `conf/<name>.yaml`. begin: checks what can be checked before the first stage, and returns the
    folder. plan: prints the plans of the stages whose input is there. engines: that its stages ask.
    """

    name: str
    config: type[Config]
    main: Callable[[Config], None]
    begin: Callable[[Config], Path]
    plan: Callable[[Config, EstimateConfig], None]
    engines: Callable[[Config], Sequence[EngineConfig]]
