"""What every engine's config has: the settings of one, and what can be asked of it before and after it is loaded."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib.config import transient
from lib.engines.byte_tokenizer import ByteTokenizer
from lib.engines.sizing.model_size import Sizing
from lib.errors import ConfigError
from lib.types import Engine, Sampling, Tokenizer


@dataclass(frozen=True, kw_only=True)
class HubFiles:
    """What an engine reads of a repository of the Hugging Face hub.

    key: of the config, that names the repository `model`. revision: None for its main branch. weights: patterns of the
    files wanted besides those that describe the model. below: in folders below its own as well.
    """

    key: str
    model: str
    revision: str | None = None
    weights: tuple[str, ...] = ()
    below: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineConfig(ABC):
    """One engine: what a worker needs to know of it.

    num_gpus: GPUs one worker takes (Ray resources; 0 on a CPU machine).
    """

    num_gpus: float = transient(default=0)

    def __post_init__(self) -> None:
        if self.num_gpus < 0:
            raise ConfigError(f"engine.num_gpus={self.num_gpus}: must not be negative")

    @property
    def most_at_once(self) -> int | None:
        """Requests that run at the same time, at most; None for an engine that answers one call after the other."""
        return None

    @property
    def usual_workers(self) -> int | None:
        """How many workers a run has that names no number; None for as many as there is room for."""
        return None

    def shared(self, workers: int) -> "EngineConfig":
        """The config of one of so many workers, where these share limits of the whole run."""
        return self

    def cost(self, prompt: float, completion: float) -> float | None:
        """What so many tokens of prompts, and so many written, cost at most; None where nothing is known to."""
        return None

    @property
    def max_tokens(self) -> int:
        """Tokens of a request and its answer together, at most; 0 for an engine that reads no tokens."""
        return 0

    @abstractmethod
    def check(self, method: str) -> None:
        """Raise ConfigError for what can be refused before weights are loaded.

        method: what the engine is for, as lib/types.py calls it: `label_logprobs`, `class_logprobs`, `generate`,
        `score`, `relevance`, `embed` or `search`.
        """

    @abstractmethod
    def load(self, tokenizer: Tokenizer, method: str) -> Engine:
        """The engine that answers `method` (as for `check`), its weights loaded.

        Raises ConfigError for missing files, EngineError where loading fails.
        """

    def load_tokenizer(self) -> Tokenizer:
        """The engine's tokenizer, without any weights. Raises ConfigError where there is none.

        One token a byte for an engine that reads texts: the pipeline wants to count something.
        """
        return ByteTokenizer()

    def identity(self) -> dict[str, str]:
        """What identifies an engine's results beyond its config's fields, such as hashes of weights and tokenizer."""
        return {}

    def hub_files(self) -> Sequence[HubFiles]:
        """What the engine reads of the hub, weights included; nothing of models that lie in a folder or a package.

        Raises ConfigError for a name that is neither one of these nor a hub id.
        """
        return ()

    def sizing(self) -> Sizing | None:
        """How large the engine's model is, from its settings alone; None without a model, or where that is unknown."""
        return None


@dataclass(frozen=True, kw_only=True)
class ModelConfig(EngineConfig):
    """An engine that is a model: `conf/engine/<name>.yaml` holds one of its subclasses.

    max_model_len: tokens of prompt and output together; longer prompts are cut by the task.
    """

    max_model_len: int = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_model_len < 1:
            raise ConfigError(f"engine.max_model_len={self.max_model_len}: must be at least 1 token")

    @property
    def max_tokens(self) -> int:
        """The model's context."""
        return self.max_model_len

    @abstractmethod
    def check_sampling(self, sampling: Sampling) -> None:
        """Raise ConfigError, naming the key of `generate`, for what the engine can't do, before weights are loaded."""

    @abstractmethod
    def embedding_prompts(self) -> Mapping[str, str]:
        """What an embedder wants before each text, by the text's role: `query` and `document`; '' for nothing.

        Raises ConfigError where the model's folder or a file in it cannot be read.
        """

    @abstractmethod
    def width(self) -> int:
        """Length of an embedder's vectors. Raises ConfigError where the model's config.json cannot be read."""

    def class_names(self) -> Sequence[str]:
        """What a judge that is a classifier calls its three classes, in the order of its outputs.

        Raises ConfigError for a model that is none, or whose config.json cannot be read.
        """
        raise ConfigError(
            "judge.mode=classes: this engine chooses no classes; use a transformers or vllm engine with a classifier "
            "that has three labels"
        )

    def unit_vectors(self) -> bool:
        """Whether an embedder's vectors have length one; else their lengths count, and they compare by dot product."""
        return True
