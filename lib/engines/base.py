"""What every engine's config has."""

from dataclasses import dataclass

from lib.config import transient
from lib.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """One engine: `conf/engine/<name>.yaml` holds one of its subclasses.

    max_model_len: tokens of prompt and output together; longer prompts are cut by the task.
    num_gpus: GPUs one worker takes (Ray resources; 0 on a CPU machine).
    """

    max_model_len: int = 2048
    num_gpus: float = transient(default=0)

    @property
    def most_at_once(self) -> int | None:
        """Requests that run at the same time, at most; None for an engine that answers one call after the other."""
        return None

    def __post_init__(self) -> None:
        if self.max_model_len < 1:
            raise ConfigError(f"engine.max_model_len={self.max_model_len}: must be at least 1 token")
        if self.num_gpus < 0:
            raise ConfigError(f"engine.num_gpus={self.num_gpus}: must not be negative")
