"""Retrieve: the passages of a corpus that are nearest to each query.

python -m jobs.retrieve data.path=QUERIES/result.parquet retriever=exact retriever.corpus=CORPUS
"""

from dataclasses import dataclass

from lib.data.rows.table import TableConfig, open_table
from lib.engines.retrieval.retriever import RetrieverConfig
from lib.launch import launch
from lib.pipeline.job import Job, JobConfig
from lib.pipeline.outcomes.passage_outcome import PASSAGES
from lib.pipeline.run import Recipe
from lib.tasks.retrieving import BESIDE, FIELDS, Retrieve, RetrieveConfig


@dataclass(frozen=True, kw_only=True)
class Config(JobConfig):
    """`conf/retrieve.yaml`."""

    data: TableConfig
    retriever: RetrieverConfig
    retrieve: RetrieveConfig


def recipe(config: Config) -> Recipe:
    """What is asked, of whom, about which rows."""
    data = open_table(config.data, FIELDS, BESIDE if config.retriever.needs_vectors else ())
    config.retriever.check_queries(config.data.path, data.types["vector"] if "vector" in data.beside else None)
    return Recipe(data=data, engine=config.retriever, task=Retrieve(config.retrieve))


JOB = Job("retrieve", Config, recipe, PASSAGES)

if __name__ == "__main__":
    launch(JOB)
