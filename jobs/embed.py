"""Embed texts: a vector for each row of a table.

python -m jobs.embed data=table data.path=FILE engine=all_minilm_l6_v2
python -m jobs.embed data=openai_batch data.path=FILE merge.format=openai_batch engine=all_minilm_l6_v2
"""

from dataclasses import dataclass

from lib.data.rows.openai_batch import batch_url, open_batch
from lib.data.rows.table import open_table
from lib.launch import launch
from lib.pipeline.job import Job
from lib.pipeline.outcomes.format_outcome import VECTORS
from lib.pipeline.run import Recipe
from lib.pipeline.text_job import TextJobConfig, require_usual
from lib.tasks.embedding import Embed, EmbedConfig
from lib.tasks.openai.body_scores import EmbedInputs


@dataclass(frozen=True, kw_only=True)
class Config(TextJobConfig):
    """`conf/embed.yaml`."""

    embed: EmbedConfig


def recipe(config: Config) -> Recipe:
    """What is asked, of whom, about which rows. Raises ConfigError where the engine has no vectors."""
    engine = config.engine
    engine.check(Embed.method)
    if config.batch is not None:
        require_usual("embed", config.embed)
        url = batch_url(config.batch, "embed")
        inputs = EmbedInputs(engine.width(), engine.unit_vectors())
        return Recipe(data=open_batch(config.batch, url, inputs.check_body), engine=engine, task=inputs)
    prefix = engine.embedding_prompts().get(config.embed.role.value, "")
    task = Embed(config.embed, prefix, engine.width(), engine.unit_vectors())
    return Recipe(data=open_table(config.table, task.fields), engine=engine, task=task)


JOB = Job("embed", Config, recipe, VECTORS)

if __name__ == "__main__":
    launch(JOB)
