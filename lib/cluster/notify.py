"""Telling somebody: a command from a config, with the summary of a run put into its arguments."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

from lib.errors import ClusterError, ConfigError

_PLACE = "{summary}"


@dataclass(frozen=True, kw_only=True)
class NotifyConfig:
    """command: a program and its arguments, in which {summary} stands for the summary; empty: nobody is told.

    No shell reads it. to: an address that the command may refer to.
    """

    to: str | None = None
    command: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.command and not any(_PLACE in word for word in self.command):
            raise ConfigError(f"notify.command={self.command}: has no {_PLACE}, so it would tell nothing")


def notify(config: NotifyConfig, summary: str) -> None:
    """Run the command. Raises ClusterError where it fails."""
    words: Sequence[str] = [word.replace(_PLACE, summary) for word in config.command]
    if not words:
        return
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"notify.command: {error}") from error
    if done.returncode:
        raise ClusterError(f"notify.command: {words[0]} exits with {done.returncode}: {done.stderr.strip()[-300:]}")
