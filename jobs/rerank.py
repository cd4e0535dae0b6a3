"""Rerank passages: how well each one of a row answers its question, told by a language model or a cross-encoder.

python -m jobs.rerank data.path=RETRIEVED/result.parquet engine=smollm2_135m
python -m jobs.rerank data=openai_batch data.path=FILE merge.format=openai_batch rerank.by=cross_encoder engine=…
"""

from dataclasses import dataclass

from lib.data.rows.openai_batch import OpenAiBatchConfig, batch_url, open_batch
from lib.data.rows.table import open_table
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.job import show_requests
from lib.pipeline.run import Recipe
from lib.pipeline.texts import TextJobConfig, require_usual, run_texts
from lib.tasks.openai.body_scores import ScorePairs
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.reranking import BESIDE, FIELDS, CrossEncode, JudgeRelevance, RerankBy, RerankConfig


@dataclass(frozen=True, kw_only=True)
class Config(TextJobConfig):
    """`conf/rerank.yaml`."""

    prompt: PromptConfig
    rerank: RerankConfig


def asked(config: Config) -> Recipe:
    """What is asked, of whom, about which rows."""
    if config.batch is not None:
        return _asked_by_bodies(config, config.batch)
    by_label = config.rerank.by is RerankBy.labels
    task = JudgeRelevance(config.rerank, config.prompt) if by_label else CrossEncode(config.rerank)
    return Recipe(data=open_table(config.table, FIELDS, BESIDE), engine=config.engine, task=task)


def _asked_by_bodies(config: Config, batch: OpenAiBatchConfig) -> Recipe:
    url, task = batch_url(batch, "rerank"), ScorePairs()
    if config.rerank.by is not RerankBy.cross_encoder:
        raise ConfigError(
            f"rerank.by={config.rerank.by.value}: {url} asks a cross-encoder; set rerank.by=cross_encoder"
        )
    require_usual("rerank", config.rerank, but=["by"])
    return Recipe(data=open_batch(batch, url, task.check_body), engine=config.engine, task=task)


def main(config: Config) -> None:
    """Run the job."""
    if config.prompt.preview:
        show_requests("rerank", config, asked(config), config.prompt.preview)
        return
    run_texts("rerank", config, asked(config))


if __name__ == "__main__":
    launch(main, Config, "rerank")
