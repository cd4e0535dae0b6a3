"""Rerank passages: how well each one of a row answers its question, told by a language model or a cross-encoder.

python -m jobs.rerank data.path=RETRIEVED/result.parquet engine=smollm2_135m
"""

from dataclasses import dataclass

from lib.data.table import TableConfig, TableRows, open_table
from lib.launch import launch
from lib.pipeline.job import EngineJobConfig, run_table
from lib.tasks.prompts import PromptConfig
from lib.tasks.rerank import BESIDE, FIELDS, By, CrossEncode, JudgeRelevance, RerankConfig


@dataclass(frozen=True, kw_only=True)
class Config(EngineJobConfig):
    """`conf/rerank.yaml`."""

    data: TableConfig
    prompt: PromptConfig
    rerank: RerankConfig


def task(config: Config) -> CrossEncode | JudgeRelevance:
    """What is asked about each row."""
    if config.rerank.by is By.cross_encoder:
        return CrossEncode(config.rerank)
    return JudgeRelevance(config.rerank, config.prompt)


def rows(config: Config) -> TableRows:
    """The rows that it is asked about."""
    return open_table(config.data, FIELDS, BESIDE)


def main(config: Config) -> None:
    """Run the job."""
    run_table("rerank", config, rows(config), config.engine, task(config))


if __name__ == "__main__":
    launch(main, Config, "rerank")
