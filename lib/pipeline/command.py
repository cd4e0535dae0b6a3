"""A command that is no job about rows: about runs that are there, or about other jobs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Config = TypeVar("Config")


@dataclass(frozen=True)
class Command(Generic[Config]):
    """`python -m jobs.<name>`.

    config: the type of `conf/<name>.yaml`. flags: short ways to say an override, as in {"--watch": "watch=true"}.
    """

    name: str
    config: type[Config]
    main: Callable[[Config], None]
    flags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CommandAboutJob(Generic[Config]):
    """A command whose line is also that of another job, as in `jobs.submit cluster=slurm job=judge engine=dummy`.

    main: also gets the overrides that are the other job's: those that name no group or key of `config`. flags: as of a
    Command.
    """

    name: str
    config: type[Config]
    main: Callable[[Config, list[str]], None]
    flags: Mapping[str, str] = field(default_factory=dict)
