"""Rerank passages: how well each one of a row answers its question, told by a language model or a cross-encoder.

python -m jobs.rerank data.path=RETRIEVED/result.parquet engine=smollm2_135m
"""

from dataclasses import dataclass

from lib.data.table import TableConfig, open_table
from lib.launch import launch
from lib.pipeline.job import EngineJobConfig, run_table, show_requests
from lib.pipeline.run import Asked
from lib.tasks.prompts import PromptConfig
from lib.tasks.rerank import BESIDE, FIELDS, By, CrossEncode, JudgeRelevance, RerankConfig


@dataclass(frozen=True, kw_only=True)
class Config(EngineJobConfig):
    """`conf/rerank.yaml`."""

    data: TableConfig
    prompt: PromptConfig
    rerank: RerankConfig


def asked(config: Config) -> Asked:
    """What is asked, of whom, about which rows."""
    by_label = config.rerank.by is By.labels
    task = JudgeRelevance(config.rerank, config.prompt) if by_label else CrossEncode(config.rerank)
    return Asked(data=open_table(config.data, FIELDS, BESIDE), engine=config.engine, task=task)


def main(config: Config) -> None:
    """Run the job."""
    if config.prompt.preview:
        show_requests("rerank", config, asked(config), config.prompt.preview)
        return
    run_table("rerank", config, asked(config))


if __name__ == "__main__":
    launch(main, Config, "rerank")
