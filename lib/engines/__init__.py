"""Engines: loaded models that answer requests. Here is the map from a config to the module that knows it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from lib.engines import dummy
from lib.engines.base import EngineConfig
from lib.engines.dummy import DummyConfig
from lib.engines.retrieval import bm25, exact, faiss_index, hybrid, same_model, web
from lib.engines.retrieval.bm25 import Bm25Config
from lib.engines.retrieval.exact import ExactConfig
from lib.engines.retrieval.faiss_index import FaissConfig
from lib.engines.retrieval.hybrid import HybridConfig
from lib.engines.retrieval.retriever import CorpusConfig
from lib.engines.retrieval.web import WebConfig
from lib.engines.sizing.model_size import Sizing
from lib.engines.transformers import transformers_config as transformers
from lib.engines.transformers.transformers_config import TransformersConfig
from lib.engines.vllm import vllm_config as vllm
from lib.engines.vllm.vllm_config import VllmConfig
from lib.types import Engine, Sampling, Tokenizer


class _Module(Protocol):
    def load_tokenizer(self, config: Any) -> Tokenizer: ...
    def load_engine(self, config: Any, tokenizer: Tokenizer, method: str) -> Engine: ...
    def identity(self, config: Any) -> dict[str, str]: ...
    def check(self, config: Any, method: str) -> None: ...
    def sizing(self, config: Any) -> Sizing | None: ...


class _Model(_Module, Protocol):
    def check_sampling(self, config: Any, sampling: Sampling) -> None: ...
    def embedding_prompts(self, config: Any) -> Mapping[str, str]: ...
    def width(self, config: Any) -> int: ...


# These modules are light: torch and the like are imported by their functions.
_MODELS: dict[type[EngineConfig], _Model] = {
    DummyConfig: dummy,
    TransformersConfig: transformers,
    VllmConfig: vllm,
}
_MODULES: dict[type[EngineConfig], _Module] = {
    **_MODELS,
    ExactConfig: exact,
    Bm25Config: bm25,
    HybridConfig: hybrid,
    FaissConfig: faiss_index,
    WebConfig: web,
}


def check(config: EngineConfig, method: str) -> None:
    """Raise ConfigError for what can be refused before weights are loaded.

    method: what the engine is for, as lib/types.py calls it: `label_logprobs`, `generate`, `score`, `relevance`,
    `embed` or `search`.
    """
    _MODULES[type(config)].check(config, method)


def check_sampling(config: EngineConfig, sampling: Sampling) -> None:
    """Raise ConfigError, naming the key of `generate`, for what the engine can't do, before weights are loaded."""
    _MODELS[type(config)].check_sampling(config, sampling)


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


def has_corpus(config: EngineConfig) -> bool:
    """Whether a retriever searches a corpus of ours, and not the web."""
    return isinstance(config, CorpusConfig)


def with_corpus(config: EngineConfig, corpus: str) -> EngineConfig:
    """The same retriever over another corpus: a run folder or a Parquet file."""
    assert isinstance(config, CorpusConfig)
    return replace(config, corpus=corpus)


def needs_vectors(config: EngineConfig) -> bool:
    """Whether a retriever compares vectors, so that its corpus and queries have to be embedded first."""
    return isinstance(config, CorpusConfig) and config.needs_vectors


def require_comparable(config: EngineConfig, queries: str) -> None:
    """Raise ConfigError where the vectors of queries can't be compared with those of a retriever's corpus.

    queries: a run folder of jobs.embed, or a file of one.
    """
    assert isinstance(config, CorpusConfig)
    same_model.require_comparable(config.corpus, queries)


def sizing(config: EngineConfig) -> Sizing | None:
    """How large the engine's model is, from its settings alone; None without a model, or where that is unknown."""
    return _MODULES[type(config)].sizing(config)


def embedding_prompts(config: EngineConfig) -> Mapping[str, str]:
    """What an embedder wants before each text, by the text's role: `query` and `document`; '' for nothing.

    Raises ConfigError where the model's folder or a file in it cannot be read.
    """
    return _MODELS[type(config)].embedding_prompts(config)


def width(config: EngineConfig) -> int:
    """Length of an embedder's vectors. Raises ConfigError where the model's config.json cannot be read."""
    return _MODELS[type(config)].width(config)
