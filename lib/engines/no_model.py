"""No model: of a job whose rows are its result."""

from dataclasses import dataclass

from lib.engines.base import EngineConfig
from lib.types import Engine, Tokenizer


class NoModel:
    """Is never asked."""

    memory = 0


@dataclass(frozen=True, kw_only=True)
class NoModelConfig(EngineConfig):
    """For tasks that ask nothing."""

    def check(self, method: str) -> None:
        """There is nothing that could be missing."""

    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """Nothing to load."""
        return NoModel()
