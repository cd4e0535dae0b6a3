"""From shard files to one result: every input row exactly once, as a result or as a recorded failure."""

import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lib.data.manifest import Manifest
from lib.data.parquet import schema, writer
from lib.data.run_folder import FAILURES, RESULT, SHARDS
from lib.data.shards import tables, unfinished
from lib.errors import RunFailed
from lib.types import KEY

_FAILURE_COLUMNS = ("file", "row", "id", "error")


@dataclass(frozen=True, kw_only=True)
class MergeConfig:
    """What becomes of a merged result; by default there is nothing to be chosen."""


@dataclass(frozen=True)
class Merged:
    """What a merge found: rows, failed rows, and the reasons with how often each occurred."""

    rows: int
    failed: int
    reasons: Counter[str]
    first_failure: str | None


def merge_shards(manifest: Manifest, folder: Path) -> Merged:
    """Write `result.parquet` and `failures.parquet` from all shards, in the order of the input.

    Raises RunFailed where a shard is missing, or a row is there twice or not at all. Memory: one shard.
    """
    shards = manifest.shards()
    todo, _ = unfinished(manifest, folder, retry_failed=False)
    if todo:
        numbers = ", ".join(str(shard.number) for shard in todo[:10]) + (", …" if len(todo) > 10 else "")
        raise RunFailed(
            f"{folder}: {len(todo)} of {len(shards)} shards are unfinished (numbers {numbers}); "
            "run the job again to finish them"
        )
    rows, reasons, first = 0, Counter[str](), None
    last = (-1, -1)  # (input, row) of the row before
    there = schema(folder / SHARDS / shards[0].file_name)
    columns = pa.schema([field for field in there if field.name != KEY])
    footer = {b"overnight": json.dumps({"fingerprint": manifest.fingerprint, "rows": manifest.rows}).encode()}
    with ExitStack() as stack:
        failure_schema = pa.schema([columns.field(name) for name in _FAILURE_COLUMNS])
        result = stack.enter_context(writer(folder / RESULT, columns.with_metadata(footer)))
        failures = stack.enter_context(writer(folder / FAILURES, failure_schema))
        for shard, table in zip(shards, tables(shards, folder), strict=True):
            for row in table["row"].to_pylist():
                if (shard.input, row) <= last:
                    raise RunFailed(f"{folder}/shards/{shard.file_name}: row {row} is there twice or out of order")
                last = (shard.input, row)
            rows += table.num_rows
            result.write_table(table.select(columns.names).replace_schema_metadata(footer))
            failed = table.filter(pc.is_valid(table["error"])).select(_FAILURE_COLUMNS)
            if failed.num_rows:
                failures.write_table(failed.replace_schema_metadata(None))
                reasons.update(failed["error"].to_pylist())
                first = first or "{file}, row {row}: {error}".format(**failed.slice(0, 1).to_pylist()[0])
    assert rows == manifest.rows
    return Merged(rows, reasons.total(), reasons, first)
