"""Cut documents into chunks, which are then embedded and searched.

python -m jobs.chunk data=documents data.path=FILE
"""

from dataclasses import dataclass

from lib.data.rows.chunking import ChunkConfig
from lib.data.rows.documents import DocumentsConfig, chunk_rows
from lib.engines.no_model import NoModelConfig
from lib.launch import launch
from lib.pipeline.job import EngineJobConfig, Job
from lib.pipeline.outcomes.base import Outcome
from lib.pipeline.run import Recipe
from lib.tasks.keep import Keep


@dataclass(frozen=True, kw_only=True)
class Config(EngineJobConfig):
    """`conf/chunk.yaml`. engine: only its tokenizer is used, and only with chunk.max_tokens."""

    data: DocumentsConfig
    chunk: ChunkConfig


def recipe(config: Config) -> Recipe:
    """Nothing is asked of a model: the chunks are the rows, and the result."""
    if config.chunk.max_tokens is None:
        return Recipe(data=chunk_rows(config.data, config.chunk, None), engine=NoModelConfig(), task=Keep({}))
    rows = chunk_rows(config.data, config.chunk, config.engine.load_tokenizer().spans)
    return Recipe(data=rows, engine=NoModelConfig(), task=Keep(config.engine.identity()))


JOB = Job("chunk", Config, recipe, Outcome())

if __name__ == "__main__":
    launch(JOB)
