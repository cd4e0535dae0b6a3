"""Engines: loaded models that answer requests. Here is the map from a config to the module that knows it."""

from typing import Any, Protocol

from lib.engines import dummy, transformers, vllm
from lib.engines.base import EngineConfig
from lib.engines.dummy import DummyConfig
from lib.engines.sizing import Sizing
from lib.engines.transformers import TransformersConfig
from lib.engines.vllm import VllmConfig
from lib.types import Engine, Sampling, Tokenizer


class _Module(Protocol):
    def load_tokenizer(self, config: Any) -> Tokenizer: ...
    def load_engine(self, config: Any, tokenizer: Tokenizer, method: str) -> Engine: ...
    def identity(self, config: Any) -> dict[str, str]: ...
    def check(self, config: Any, method: str) -> None: ...
    def sizing(self, config: Any) -> Sizing | None: ...
    def check_sampling(self, config: Any, sampling: Sampling) -> None: ...


# These modules are light: torch and the like are imported by their functions.
_MODULES: dict[type[EngineConfig], _Module] = {DummyConfig: dummy, TransformersConfig: transformers, VllmConfig: vllm}


def check(config: EngineConfig, method: str) -> None:
    """Raise ConfigError for what can be refused before weights are loaded.

    method: what the engine is for: `label_logprobs`, `generate`, `score`, `relevance` or `embed`.
    """
    _MODULES[type(config)].check(config, method)


def check_sampling(config: EngineConfig, sampling: Sampling) -> None:
    """Raise ConfigError, naming the key of `generate`, for what the engine can't do, before weights are loaded."""
    _MODULES[type(config)].check_sampling(config, sampling)


def load_tokenizer(config: EngineConfig) -> Tokenizer:
    """The engine's tokenizer, without any weights. Raises ConfigError where there is none."""
    return _MODULES[type(config)].load_tokenizer(config)


def load_engine(config: EngineConfig, tokenizer: Tokenizer, method: str) -> Engine:
    """The engine that answers `method` (as for `check`), its weights loaded.

    Raises ConfigError for missing files, EngineError where loading fails.
    """
    return _MODULES[type(config)].load_engine(config, tokenizer, method)


def identity(config: EngineConfig) -> dict[str, str]:
    """What identifies an engine's results beyond its config's fields, such as hashes of weights and tokenizer."""
    return _MODULES[type(config)].identity(config)


def sizing(config: EngineConfig) -> Sizing | None:
    """How large the engine's model is, from its settings alone; None without a model, or where that is unknown."""
    return _MODULES[type(config)].sizing(config)
