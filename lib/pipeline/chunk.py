"""Cutting documents into chunks: a run without an engine, whose result is its input in another form."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.data.atomic import atomic_path
from lib.data.manifest import Manifest
from lib.data.merging import RESULT
from lib.data.reading.intake import read_rows
from lib.data.rows.documents import SCHEMA, ChunkRows
from lib.errors import InputError
from lib.pipeline.run import RunConfig, plan_run


def chunk_documents(config: RunConfig, rows: ChunkRows, tokenizer: Mapping[str, str]) -> Path:
    """Write the chunks of all documents into a run folder, which is returned; one that is there already stays.

    tokenizer: what identifies the one that counts tokens. Raises InputError where two documents
    have one name; else as `open_run`.
    """
    folder, manifest = plan_run("chunk", config, rows, {"tokenizer": tokenizer})
    if not (folder / RESULT).exists():
        table = _gather(folder, manifest, rows)
        _refuse_equal_names(table, rows)
        with atomic_path(folder / RESULT) as temporary:
            pq.write_table(table, temporary, compression="zstd")
    return folder


def _gather(folder: Path, manifest: Manifest, rows: ChunkRows) -> pa.Table:
    parts = [read_rows(file, folder, 0, file.rows, rows) for file in manifest.inputs]
    return pa.concat_tables([SCHEMA.empty_table(), *parts])


def _refuse_equal_names(table: pa.Table, rows: ChunkRows) -> None:
    ids = table["id"].drop_null()
    counts = pc.value_counts(ids)
    if len(counts) < len(ids):
        twice = next(entry["values"] for entry in counts.to_pylist() if entry["counts"] > 1)
        raise InputError(
            f"data.path={rows.path}: two documents have the same name, so that both have a chunk {twice!r}; "
            "give them other names, or ids (data.id=NAME)"
        )
