"""From shard files to one result: every input row exactly once, as a result or as a recorded failure."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data.joining.run_rows import result_columns, run_rows
from lib.data.manifest import Manifest
from lib.data.parquet import writer
from lib.data.run_folder import FAILURES, MADE, RESULT, partial_name
from lib.data.shards import unfinished
from lib.durations import count
from lib.errors import RunFailed

_FAILURE_COLUMNS = ("file", "row", "id", "error")
_GROUP_ROWS, _GROUP_BYTES = 65_536, 16 << 20  # of a row group of the result, at most: of whichever is reached first


@dataclass(frozen=True, kw_only=True)
class MergeConfig:
    """What becomes of a merged result; by default there is nothing to be chosen."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Files that it depends on."""
        return ()


@dataclass(frozen=True)
class Merged:
    """What a merge found: rows, failed rows, and the first of these, in words."""

    rows: int
    failed: int
    first_failure: str | None


def merge_shards(manifest: Manifest, folder: Path) -> Merged:
    """Write `result.parquet` and `failures.parquet` of all rows, in the order of the input.

    Raises RunFailed where a shard is missing, or a row is there twice or not at all. Memory: a shard or 16 MiB.
    """
    shards = manifest.shards()
    todo, _ = unfinished(manifest, folder, retry_failed=False)
    if todo:
        numbers = ", ".join(str(shard.number) for shard in todo[:10]) + (", …" if len(todo) > 10 else "")
        raise RunFailed(
            f"{folder}: {len(todo):,} of {count(len(shards), 'shard')} {'is' if len(todo) == 1 else 'are'} unfinished "
            f"(numbers {numbers}); "
            "run the job again to finish them"
        )
    merged = write_result(manifest, folder, result_columns(manifest, folder), run_rows(manifest, folder))
    for name in MADE:  # of while it worked
        (folder / partial_name(name)).unlink(missing_ok=True)
    return merged


def write_result(manifest: Manifest, folder: Path, columns: pa.Schema, parts: Iterable[pa.Table]) -> Merged:
    """Write `result.parquet` and `failures.parquet`. parts: of these columns, all rows in the order of the input.

    Raises RunFailed where a row is there twice or not at all.
    """
    rows, failures, first = 0, 0, None
    footer = {b"overnight": json.dumps({"fingerprint": manifest.fingerprint, "rows": manifest.rows}).encode()}
    with ExitStack() as stack:
        failure_schema = pa.schema([columns.field(name) for name in _FAILURE_COLUMNS])
        result = stack.enter_context(writer(folder / RESULT, columns.with_metadata(footer)))
        failed_rows = stack.enter_context(writer(folder / FAILURES, failure_schema))
        for table in _row_groups(_each_row_once(parts, manifest, folder)):
            rows += table.num_rows
            result.write_table(table.replace_schema_metadata(footer))
            failed = table.filter(pc.is_valid(table["error"])).select(_FAILURE_COLUMNS)
            if failed.num_rows:
                failed_rows.write_table(failed.replace_schema_metadata(None))
                failures += failed.num_rows
                first = first or "{file}, row {row}: {error}".format(**failed.slice(0, 1).to_pylist()[0])
    return Merged(rows, failures, first)


def _each_row_once(parts: Iterable[pa.Table], manifest: Manifest, folder: Path) -> Iterator[pa.Table]:
    """The same tables, having seen that rows ascend within each input, and that there are as many as there must be."""
    ends = np.cumsum([file.rows for file in manifest.inputs])
    place, before = 0, -1  # of the next row among all rows, and the number of the row before it in its file
    for table in parts:
        numbers = table["row"].to_numpy()
        steps = np.diff(numbers, prepend=before)
        first = ends[(ends >= place) & (ends < place + len(numbers))] - place  # rows that begin an input
        steps[first] = numbers[first] + 1
        if (steps <= 0).any():
            row = int(np.argmax(steps <= 0))
            raise RunFailed(
                f"{folder}: {table['file'][row]}, row {numbers[row]} is there twice or out of order; use another "
                "run.dir to start afresh"
            )
        place += len(numbers)
        before = int(numbers[-1]) if len(numbers) else before
        yield table
    if place != manifest.rows:
        raise RunFailed(
            f"{folder}: {place} rows where there must be {manifest.rows}; use another run.dir to start afresh"
        )


def _row_groups(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Tables put together to the size of row groups that are read well."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in parts:
        if waiting and (rows + table.num_rows > _GROUP_ROWS or size + table.nbytes > _GROUP_BYTES):
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, rows, size = [], 0, 0
        waiting.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()
