"""Retrieve: the passages of a corpus that are nearest to each query.

python -m jobs.retrieve data.path=QUERIES/result.parquet retriever=exact retriever.corpus=CORPUS
"""

from dataclasses import dataclass

from lib.data.table import TableConfig, TableRows, open_table
from lib.engines.base import EngineConfig
from lib.launch import launch
from lib.pipeline.job import JobConfig, run_table
from lib.tasks.retrieve import BESIDE, FIELDS, Retrieve, RetrieveConfig


@dataclass(frozen=True, kw_only=True)
class Config(JobConfig):
    """`conf/retrieve.yaml`."""

    data: TableConfig
    retriever: EngineConfig
    retrieve: RetrieveConfig


def task(config: Config) -> Retrieve:
    """What is asked about each row."""
    return Retrieve(config.retrieve)


def rows(config: Config) -> TableRows:
    """The rows that it is asked about."""
    return open_table(config.data, FIELDS, BESIDE)


def main(config: Config) -> None:
    """Run the job."""
    run_table("retrieve", config, rows(config), config.retriever, task(config))


if __name__ == "__main__":
    launch(main, Config, "retrieve")
