"""Generate text: an answer for each row of a table, after a prompt that is filled from its columns.

python -m jobs.generate data=table data.path=FILE prompt=instruct engine=smollm2_135m
"""

from dataclasses import dataclass

from lib import engines
from lib.data.table import TableConfig, open_table
from lib.launch import launch
from lib.pipeline.evaluation import report_texts
from lib.pipeline.job import EngineJobConfig, run_table, show_requests
from lib.pipeline.run import Asked
from lib.tasks.generate import Generate
from lib.tasks.prompts import PromptConfig
from lib.tasks.sampling import SamplingConfig, sampling


@dataclass(frozen=True, kw_only=True)
class Config(EngineJobConfig):
    """`conf/generate.yaml`."""

    data: TableConfig
    prompt: PromptConfig
    generate: SamplingConfig


def asked(config: Config) -> Asked:
    """What is asked, of whom, about which rows."""
    engines.check_sampling(config.engine, sampling(config.generate))
    task = Generate(config.generate, config.prompt)
    return Asked(data=open_table(config.data, task.fields), engine=config.engine, task=task)


def main(config: Config) -> None:
    """Run the job."""
    if config.prompt.preview:
        show_requests("generate", config, asked(config), config.prompt.preview)
        return
    folder = run_table("generate", config, asked(config))
    if config.shards.whole:
        report_texts(folder)


if __name__ == "__main__":
    launch(main, Config, "generate")
