"""The rows of a run in the order of its input: asked ones from its shards, remembered ones, and repeated ones."""

import shutil
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.data.joining.key_group import GROUP_ROWS, KeyGroup, Numbers
from lib.data.joining.keys import ANSWERED, KEY, KEY_TYPE
from lib.data.joining.missing_rows import NOT_YET, missing_rows
from lib.data.joining.shuffle import MOST_PARTS, Ordered, Shuffle, interleave
from lib.data.manifest import Manifest
from lib.data.parquet import batches
from lib.data.reading.input_file import InputFile
from lib.data.rows.base import Rows
from lib.data.shards import tables
from lib.errors import RunFailed

_ROWS = 4096
_FIRST_ROWS = 1024  # as many as a large shard has
_PART_ROWS = 1 << 18
_NUMBER = "number"  # of a repeated row among all of them
_OF_SHARDS = (KEY, ANSWERED)


def result_columns(manifest: Manifest, folder: Path, missing: Collection[int] = ()) -> pa.Schema:
    """The columns of a run's result. missing: numbers of shards that are not done; others, or known rows, must be."""
    done = next((shard for shard in manifest.shards() if shard.number not in missing), None)
    if done is not None:
        found = parquet.schema(folder / done.path)
    else:
        found = parquet.schema(folder / next(file.remembered_parquet for file in manifest.inputs if file.remembered))
    return pa.schema([field for field in found if field.name not in _OF_SHARDS])


def run_rows(
    manifest: Manifest, folder: Path, missing: Collection[int] = (), data: Rows | None = None
) -> Iterator[pa.Table]:
    """The rows of all inputs, in their order, a few at a time.

    missing: numbers of shards that are not done, whose rows say so in `error`; all others must be finished. data: how
    the input was read, for what is known of these rows. Raises RunFolderError where a file was damaged after it was
    written.
    """
    columns = result_columns(manifest, folder, missing)
    scratch = folder / f"merge-{uuid.uuid4().hex[:8]}"
    try:
        answers = _answers_of_repeated(manifest, folder, columns, scratch, missing) if manifest.repeated else None
        before = 0  # repeated rows of the inputs before
        for number, file in enumerate(manifest.inputs):
            asked = _asked(manifest, number, folder, columns, missing, data)
            streams = [asked] if file.asked else []
            if file.remembered:
                streams.append(_remembered(file, folder, columns))
            if answers is not None and file.repeated:
                streams.append(_repeated(file, folder, columns, answers, before, bool(missing)))
                before += file.repeated
            if len(streams) == 1:
                yield from streams[0]
            else:
                yield from interleave([Ordered(stream, columns, "row") for stream in streams], "row")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def first_remembered(manifest: Manifest, folder: Path) -> pa.Table | None:
    """The first rows that are remembered, as they stand in the result; None where none are."""
    for file in manifest.inputs:
        if file.remembered:
            return pa.Table.from_batches([next(batches(folder / file.remembered_parquet, _FIRST_ROWS))])
    return None


def _asked(
    manifest: Manifest, number: int, folder: Path, columns: pa.Schema, missing: Collection[int], data: Rows | None
) -> Iterator[pa.Table]:
    """The asked rows of an input."""
    for shard in manifest.shards().of_input(number):
        if shard.number in missing:
            yield missing_rows(shard, manifest, folder, columns, data)
        else:
            yield from (table.select(columns.names).cast(columns) for table in tables([shard], folder))


def _remembered(file: InputFile, folder: Path, columns: pa.Schema) -> Iterator[pa.Table]:
    found = batches(folder / file.remembered_parquet, _ROWS, columns.names)
    return (pa.Table.from_batches([batch]).select(columns.names).cast(columns) for batch in found)


def _repeated(
    file: InputFile, folder: Path, columns: pa.Schema, answers: Ordered, before: int, some_missing: bool
) -> Iterator[pa.Table]:
    """The repeated rows of an input: what they carry is their own, all else is as of the row that was asked."""
    for batch in batches(folder / file.repeated_parquet, _ROWS):
        before += batch.num_rows
        found = answers.until(before)
        if some_missing:
            found = _with_gaps(found, range(before - batch.num_rows, before))
        if found.num_rows != batch.num_rows:
            raise RunFailed(
                f"{folder}: of {batch.num_rows - found.num_rows} repeated rows the answer is in no shard; use another "
                "run.dir to start afresh"
            )
        cells = [found[name] if name in found.column_names else batch[name] for name in columns.names]
        yield pa.table(cells, schema=columns)


def _with_gaps(found: pa.Table, numbers: range) -> pa.Table:
    """A row for each of the numbers: null, but for the error, where none is found."""
    rows = found.take(pc.index_in(pa.array(numbers, pa.int64()), found[_NUMBER].combine_chunks()))
    errors = pc.if_else(pc.is_null(rows[_NUMBER]), NOT_YET, rows["error"])
    return rows.set_column(rows.column_names.index("error"), "error", errors)


def _answers_of_repeated(
    manifest: Manifest, folder: Path, columns: pa.Schema, scratch: Path, missing: Collection[int]
) -> Ordered:
    """What the shards say of the rows that are repeated, in the order of these."""
    file = next(file for file in manifest.inputs if file.repeated)
    carried = set(parquet.schema(folder / file.repeated_parquet).names) - {"error"}
    own = [field for field in columns if field.name not in carried]
    shuffle = Shuffle(scratch, pa.schema([*own, (_NUMBER, pa.int64())]))
    part_rows = max(_PART_ROWS, -(-manifest.repeated // MOST_PARTS))
    for keys, numbers in _groups(manifest, folder):
        group = KeyGroup(keys, numbers)
        done = (shard for shard in manifest.shards() if shard.number not in missing)
        for table in tables(done, folder):
            places, answered = group.answered_by(table[KEY].combine_chunks())
            rows = table.select([field.name for field in own]).take(places)
            shuffle.add(rows.append_column(_NUMBER, pa.array(answered)), answered // part_rows)
    return Ordered(shuffle.ordered(_NUMBER), shuffle.schema, _NUMBER)


def _groups(manifest: Manifest, folder: Path) -> Iterator[tuple[pa.FixedSizeBinaryArray, Numbers]]:
    """Keys and numbers of the repeated rows, as many at a time as are looked for in one stream over the shards."""
    waiting: list[pa.Array] = []
    count = first = 0
    for file in manifest.inputs:
        if file.repeated:
            for batch in batches(folder / file.repeated_parquet, 1 << 16, [KEY]):
                waiting.append(batch[KEY])
                count += batch.num_rows
                if count >= GROUP_ROWS:
                    yield pa.concat_arrays(waiting).cast(KEY_TYPE), np.arange(first, first + count)
                    waiting, first, count = [], first + count, 0
    if waiting:
        yield pa.concat_arrays(waiting).cast(KEY_TYPE), np.arange(first, first + count)
