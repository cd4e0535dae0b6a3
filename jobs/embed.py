"""Embed texts: a vector for each row of a table.

python -m jobs.embed data=table data.path=FILE engine=all_minilm_l6_v2
python -m jobs.embed data=openai_batch data.path=FILE merge.format=openai_batch engine=all_minilm_l6_v2
"""

from dataclasses import dataclass

from lib import engines
from lib.data.rows.openai_batch import batch_url, open_batch
from lib.data.rows.table import open_table
from lib.launch import launch
from lib.pipeline.run import Recipe
from lib.pipeline.texts import TextJobConfig, require_usual, run_texts
from lib.tasks.embedding import Embed, EmbedConfig
from lib.tasks.openai.body_scores import EmbedInputs


@dataclass(frozen=True, kw_only=True)
class Config(TextJobConfig):
    """`conf/embed.yaml`."""

    embed: EmbedConfig


def asked(config: Config) -> Recipe:
    """What is asked, of whom, about which rows. Raises ConfigError where the engine has no vectors."""
    engines.check(config.engine, Embed.method)
    if config.batch is not None:
        require_usual("embed", config.embed)
        url = batch_url(config.batch, "embed")
        inputs = EmbedInputs(engines.width(config.engine))
        return Recipe(data=open_batch(config.batch, url, inputs.check_body), engine=config.engine, task=inputs)
    prompts = engines.embedding_prompts(config.engine)
    task = Embed(config.embed, prompts.get(config.embed.role.value, ""), engines.width(config.engine))
    return Recipe(data=open_table(config.table, task.fields), engine=config.engine, task=task)


def main(config: Config) -> None:
    """Run the job."""
    run_texts("embed", config, asked(config))


if __name__ == "__main__":
    launch(main, Config, "embed")
