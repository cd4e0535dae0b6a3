"""Rerank passages: how well each one of a row answers its question, told by a language model or a cross-encoder.

python -m jobs.rerank data.path=RETRIEVED/result.parquet engine=smollm2_135m
python -m jobs.rerank data=openai_batch data.path=FILE merge.format=openai_batch rerank.by=cross_encoder engine=…
"""

from dataclasses import dataclass, field

from lib.config import require_unset
from lib.data.rows.openai_batch import OpenAiBatchConfig, batch_url, open_batch
from lib.data.rows.table import open_table
from lib.errors import ConfigError
from lib.launch import launch
from lib.pipeline.job import Job, PromptJobConfig
from lib.pipeline.outcomes.passage_outcome import PASSAGES
from lib.pipeline.run import Recipe
from lib.pipeline.text_job import TextJobConfig, require_usual
from lib.tasks.openai.body_scores import RERANK, RerankDocuments, ScorePairs
from lib.tasks.passage_columns import BESIDE
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.use import PromptUse, asked_for
from lib.tasks.reranking import FIELDS, CrossEncode, JudgeRelevance, RerankBy, RerankConfig

_OF_NO_PROMPT = ("labels", "preview")  # labels: of the default prompt, as its template is


@dataclass(frozen=True, kw_only=True)
class Config(TextJobConfig, PromptJobConfig):
    """`conf/rerank.yaml`."""

    prompt: PromptConfig = field(metadata=asked_for(PromptUse.relevance))
    rerank: RerankConfig


def recipe(config: Config) -> Recipe:
    """What is asked, of whom, about which rows."""
    if config.batch is not None:
        return _recipe_of_bodies(config, config.batch)
    by_label = config.rerank.by is RerankBy.labels
    if not by_label:
        require_unset("prompt", config.prompt, "with rerank.by=cross_encoder, which gets no prompt", _OF_NO_PROMPT)
    task = JudgeRelevance(config.rerank, config.prompt.for_labels) if by_label else CrossEncode(config.rerank)
    return Recipe(data=open_table(config.table, FIELDS, BESIDE), engine=config.engine, task=task)


def _recipe_of_bodies(config: Config, batch: OpenAiBatchConfig) -> Recipe:
    url = batch_url(batch, "rerank")
    task = RerankDocuments() if url == RERANK else ScorePairs()
    if config.rerank.by is not RerankBy.cross_encoder:
        raise ConfigError(
            f"rerank.by={config.rerank.by.value}: {url} asks a cross-encoder; set rerank.by=cross_encoder"
        )
    require_usual("rerank", config.rerank, but=["by"])
    require_usual("prompt", config.prompt, but=_OF_NO_PROMPT)
    return Recipe(data=open_batch(batch, url, task.check_body), engine=config.engine, task=task)


JOB = Job("rerank", Config, recipe, PASSAGES)

if __name__ == "__main__":
    launch(JOB)
