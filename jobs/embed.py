"""Embed texts: a vector for each row of a table.

python -m jobs.embed data=table data.path=FILE engine=all_minilm_l6_v2
"""

from dataclasses import dataclass

from lib import engines
from lib.data.table import TableConfig, TableRows, open_table
from lib.launch import launch
from lib.pipeline.job import EngineJobConfig, run_table
from lib.tasks.embed import Embed, EmbedConfig


@dataclass(frozen=True, kw_only=True)
class Config(EngineJobConfig):
    """`conf/embed.yaml`."""

    data: TableConfig
    embed: EmbedConfig


def task(config: Config) -> Embed:
    """What is asked about each row. Raises ConfigError where the engine has no vectors."""
    engines.check(config.engine, Embed.method)
    prompts = engines.embedding_prompts(config.engine)
    return Embed(config.embed, prompts.get(config.embed.role.value, ""), engines.width(config.engine))


def rows(config: Config, task: Embed) -> TableRows:
    """The rows that it is asked about."""
    return open_table(config.data, task.fields)


def main(config: Config) -> None:
    """Run the job."""
    asked = task(config)
    run_table("embed", config, rows(config, asked), config.engine, asked)


if __name__ == "__main__":
    launch(main, Config, "embed")
