"""A way of answering from documents: its config, and what is refused of it before its first stage."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lib.config import require_unset
from lib.data.rows.chunking import ChunkConfig
from lib.data.rows.documents import DocumentsConfig
from lib.data.rows.table import TableConfig
from lib.engines.base import ModelConfig
from lib.engines.retrieval.retriever import RetrieverConfig
from lib.errors import ConfigError
from lib.pipeline.job import JobConfig
from lib.tasks.embedding import Embed
from lib.tasks.generation import Generate
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.use import PromptUse, asked_for
from lib.tasks.reranking import CrossEncode, JudgeRelevance, RerankBy, RerankConfig
from lib.tasks.retrieving import RetrieveConfig
from lib.tasks.sampling import SamplingConfig, require_draws, sampling


def likely() -> RerankConfig:
    """Which passages are kept unless told otherwise: those as likely relevant as not."""
    return RerankConfig(threshold=0.0)


@dataclass(frozen=True, kw_only=True)
class RagConfig:
    """What is done. name: of this way of answering. rerank: whether passages are reranked.

    experiments: do these instead of one way, each as with experiment=NAME; then a tournament of their answers, with
    `tournament` as overrides of jobs.tournament.
    """

    name: str = "rag"
    rerank: bool = False
    experiments: list[str] = field(default_factory=list)
    tournament: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Config(JobConfig):
    """`conf/rag.yaml`. documents.path: "" for answers without documents."""

    rag: RagConfig
    data: TableConfig
    documents: DocumentsConfig
    chunk: ChunkConfig
    embedder: ModelConfig
    retriever: RetrieverConfig
    retrieve: RetrieveConfig
    reranker: ModelConfig
    rerank: RerankConfig = field(default_factory=likely)
    rerank_prompt: PromptConfig = field(metadata=asked_for(PromptUse.relevance))
    generator: ModelConfig
    prompt: PromptConfig = field(metadata=asked_for(PromptUse.text))
    generate: SamplingConfig

    @property
    def cuts(self) -> bool:
        """Whether documents are cut into chunks."""
        return bool(self.documents.path) and self.retriever.has_corpus

    @property
    def searches(self) -> bool:
        """Whether passages are searched for."""
        return self.cuts or not self.retriever.has_corpus


def require_effect(ways: Sequence[Config], given: Sequence[str]) -> None:
    """Raise ConfigError for what has no effect in any of several ways of answering.

    given: the overrides of the command line, which are those of each way.
    """
    require_unset("array", ways[0].array, "in jobs.rag, whose stages wait for each other")
    for group in ("prompt", "rerank_prompt"):
        for way in ways:
            getattr(way, group).require_unset("images", why="in jobs.rag, which asks about passages")
        if count := getattr(ways[0], group).preview:
            raise ConfigError(
                f"{group}.preview={count}: has no effect in jobs.rag; add it to jobs.generate or jobs.rerank, with the "
                "result of the stage before as data.path"
            )
    if not any(way.rag.rerank for way in ways):
        require_unset("rerank", ways[0].rerank, "without rag.rerank=true", usual=likely())
    if carry := next((way.data.carry for way in ways if way.data.carry), None):
        raise ConfigError(
            f"data.carry={list(carry)}: has no effect in jobs.rag, whose answers carry the question alone"
        )
    if lost := next((way for way in ways if way.documents.path and not way.cuts), None):
        raise ConfigError(f"documents.path={lost.documents.path}: has no effect with retriever=web; leave it out")
    idle = [] if any(way.cuts for way in ways) else ["chunk"]
    idle += [] if any(way.searches for way in ways) else ["retrieve", "retriever"]
    for word in given:
        if re.split("[.=]", word.lstrip("+"), maxsplit=1)[0] in idle:
            raise ConfigError(f"{word}: has no effect without documents to be searched (documents.path); leave it out")


def engines(config: Config) -> list[ModelConfig]:
    """Those that are asked, or whose tokens are counted."""
    counted = [config.embedder] if config.cuts and config.chunk.max_tokens is not None else []
    return [*(getattr(config, group) for group in _asked(config)), *counted]


def _asked(config: Config) -> dict[str, str]:
    """What each engine is asked for, by its group."""
    by_label = config.rerank.by is RerankBy.labels
    asked = {"generator": Generate.method}
    if config.cuts and config.retriever.needs_vectors:
        asked["embedder"] = Embed.method
    if config.searches and config.rag.rerank:
        asked["reranker"] = JudgeRelevance.method if by_label else CrossEncode.method
    return asked


def check_engines(config: Config) -> None:
    """Raise ConfigError, naming the engine's group or the key, for what only a later stage would refuse."""
    asked = _asked(config)
    for group, method in asked.items():
        try:
            getattr(config, group).check(method)
        except ConfigError as error:
            raise ConfigError(f"{group}: {error}") from error
    if "embedder" in asked:
        config.retriever.check_similarity(config.embedder.unit_vectors())
    require_draws(config.generate)
    if config.generate.n > 1:
        raise ConfigError(
            f"generate.n={config.generate.n}: jobs.rag compares one answer to each question; leave it out"
        )
    config.generator.check_sampling(sampling(config.generate))
    if not config.searches and "passages" in config.prompt.slots:
        raise ConfigError(
            "prompt.template: has a slot {passages}, and without documents there are none; give documents.path=…, or "
            "choose a prompt without the slot, with prompt=NAME"
        )
