"""Laying questions ready: a run without an engine that brings a user's table into the form that stages read."""

from pathlib import Path

import pyarrow as pa

from lib.data import parquet
from lib.data.reading.input_file import read_rows
from lib.data.row_names import row_names
from lib.data.rows.table import TableConfig, open_table
from lib.data.run_folder import RESULT
from lib.pipeline.array import ArrayConfig
from lib.pipeline.run_config import RunConfig
from lib.pipeline.run_plan import find_or_plan
from lib.types import slot_column


def take_questions(config: RunConfig, data: TableConfig) -> Path:
    """Write id, question and error of each row into a run folder, which is returned; one that is there already stays.

    Where the table has no ids, they are the numbers of the rows. Raises as `Run.open` does.
    """
    rows = open_table(data, ["question"])
    folder, manifest = find_or_plan("questions", config, rows, {}, ArrayConfig())
    if not (folder / RESULT).exists():
        table = pa.concat_tables([read_rows(file, folder, 0, file.rows, rows) for file in manifest.inputs])
        columns = {
            "id": pa.array(row_names(table["id"], range(table.num_rows)), pa.string()),
            "question": [_joined(pieces) for pieces in table[slot_column("question")].to_pylist()],
            "error": table["error"],
        }
        parquet.write(pa.table(columns), folder / RESULT)
    return folder


def _joined(pieces: list[str | None] | None) -> str | None:
    return None if pieces is None else " ".join(piece or "" for piece in pieces)
