"""Cut documents into chunks, which are then embedded and searched.

python -m jobs.chunk data=documents data.path=FILE
"""

from dataclasses import dataclass
from pathlib import Path

from lib import engines
from lib.data.merging import RESULT
from lib.data.rows.chunking import ChunkConfig
from lib.data.rows.documents import ChunkRows, DocumentsConfig, chunk_rows
from lib.engines.base import EngineConfig
from lib.launch import launch
from lib.pipeline.chunk import chunk_documents
from lib.pipeline.run import RunConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """`conf/chunk.yaml`. engine: only its tokenizer is used, and only with chunk.max_tokens."""

    data: DocumentsConfig
    chunk: ChunkConfig
    engine: EngineConfig
    run: RunConfig


def run(config: Config) -> Path:
    """Cut the documents; returns the run's folder."""
    if config.chunk.max_tokens is None:
        return chunk_documents(config.run, chunk_rows(config.data, config.chunk, None), {})
    rows: ChunkRows = chunk_rows(config.data, config.chunk, engines.load_tokenizer(config.engine).spans)
    return chunk_documents(config.run, rows, engines.identity(config.engine))


def main(config: Config) -> None:
    """Run the job."""
    print(f"result:     {run(config) / RESULT}")


if __name__ == "__main__":
    launch(main, Config, "chunk")
