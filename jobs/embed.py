"""Embed texts: a vector for each row of a table.

python -m jobs.embed data=table data.path=FILE engine=all_minilm_l6_v2
"""

from dataclasses import dataclass

from lib import engines
from lib.data.table import TableConfig, open_table
from lib.launch import launch
from lib.pipeline.job import EngineJobConfig, run_table
from lib.pipeline.run import Asked
from lib.tasks.embed import Embed, EmbedConfig


@dataclass(frozen=True, kw_only=True)
class Config(EngineJobConfig):
    """`conf/embed.yaml`."""

    data: TableConfig
    embed: EmbedConfig


def asked(config: Config) -> Asked:
    """What is asked, of whom, about which rows. Raises ConfigError where the engine has no vectors."""
    engines.check(config.engine, Embed.method)
    prompts = engines.embedding_prompts(config.engine)
    task = Embed(config.embed, prompts.get(config.embed.role.value, ""), engines.width(config.engine))
    return Asked(data=open_table(config.data, task.fields), engine=config.engine, task=task)


def main(config: Config) -> None:
    """Run the job."""
    run_table("embed", config, asked(config))


if __name__ == "__main__":
    launch(main, Config, "embed")
