"""Rows that are not done yet, as a merge of what is there has them: their place, what is carried along, and why."""

from pathlib import Path

import pyarrow as pa

from lib.data.manifest import Manifest, Shard
from lib.data.parquet import opened
from lib.data.reading.input_file import read_rows
from lib.data.reading.parquet_source import row_range
from lib.data.rows.base import Rows

NOT_YET = "not yet computed"
"""What stands in the column `error` of such a row."""


def missing_rows(
    shard: Shard, manifest: Manifest, folder: Path, columns: pa.Schema, data: Rows | None = None
) -> pa.Table:
    """The rows of an unfinished shard: null but for what their input says of them, and the error that they are missing.

    Of an input that is read where it lies, that is the place alone, unless `data` says how it was read.
    """
    file = manifest.inputs[shard.input]
    known = {
        "file": pa.array([file.source] * shard.rows, pa.string()),
        "row": pa.array(range(shard.start, shard.stop), pa.int64()),
    }
    if file.canonical:
        with opened(folder / file.parquet) as parquet:
            names = [name for name in columns.names if name in parquet.schema_arrow.names]
            found = pa.Table.from_batches(list(row_range(parquet, names, shard.start, shard.stop)))
        known = {name: found[name] for name in names}
    elif data is not None:
        rows = read_rows(file, folder, shard.start, shard.stop, data)
        known = {name: rows[name] for name in columns.names if name in rows.column_names}
    known["error"] = pa.array([NOT_YET] * shard.rows, pa.string())
    cells = [known.get(field.name, pa.nulls(shard.rows, field.type)) for field in columns]
    return pa.table([cell.cast(field.type) for cell, field in zip(cells, columns, strict=True)], schema=columns)
