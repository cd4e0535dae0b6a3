"""Generate text: an answer for each row of a table, after a prompt that is filled from its columns.

python -m jobs.generate data=table data.path=FILE prompt=instruct engine=smollm2_135m
"""

from dataclasses import dataclass

from lib.tasks.sampling import SamplingConfig

from lib.data.table import TableConfig, TableRows, open_table
from lib.launch import launch
from lib.pipeline.job import EngineJobConfig, run_table
from lib.tasks.generate import Generate
from lib.tasks.prompts import PromptConfig


@dataclass(frozen=True, kw_only=True)
class Config(EngineJobConfig):
    """`conf/generate.yaml`."""

    data: TableConfig
    prompt: PromptConfig
    generate: SamplingConfig


def task(config: Config) -> Generate:
    """What is asked about each row."""
    return Generate(config.generate, config.prompt)


def rows(config: Config, task: Generate) -> TableRows:
    """The rows that it is asked about."""
    return open_table(config.data, task.fields)


def main(config: Config) -> None:
    """Run the job."""
    asked = task(config)
    run_table("generate", config, rows(config, asked), config.engine, asked)


if __name__ == "__main__":
    launch(main, Config, "generate")
