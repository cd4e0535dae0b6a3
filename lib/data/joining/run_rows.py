"""The rows of a run in the order of its input: asked ones from its shards, remembered ones, and repeated ones."""

import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from lib.data import parquet
from lib.data.joining.key_group import GROUP_ROWS, KeyGroup, Numbers
from lib.data.joining.keys import ANSWERED, KEY, KEY_TYPE
from lib.data.joining.shuffle import MOST_PARTS, Ordered, Shuffle, interleave
from lib.data.manifest import Manifest, Shard
from lib.data.parquet import batches
from lib.data.reading.input_file import InputFile
from lib.data.shards import tables
from lib.errors import RunFailed

_ROWS = 4096
_FIRST_ROWS = 1024  # as many as a large shard has
_PART_ROWS = 1 << 18
_NUMBER = "number"  # of a repeated row among all of them
_OF_SHARDS = (KEY, ANSWERED)


def result_columns(manifest: Manifest, folder: Path) -> pa.Schema:
    """The columns of a run's result."""
    shards = manifest.shards()
    if len(shards):
        found = parquet.schema(folder / shards[0].path)
    else:
        found = parquet.schema(folder / next(file.remembered_parquet for file in manifest.inputs if file.remembered))
    return pa.schema([field for field in found if field.name not in _OF_SHARDS])


def run_rows(manifest: Manifest, folder: Path) -> Iterator[pa.Table]:
    """The rows of all inputs, in their order, a few at a time.

    All shards must be finished. Raises RunFolderError where a file was damaged after it was written.
    """
    columns = result_columns(manifest, folder)
    scratch = folder / f"merge-{uuid.uuid4().hex[:8]}"
    try:
        answers = _answers_of_repeated(manifest, folder, columns, scratch) if manifest.repeated else None
        before = 0  # repeated rows of the inputs before
        for number, file in enumerate(manifest.inputs):
            asked = _asked(manifest.shards().of_input(number), folder, columns)
            streams = [asked] if file.asked else []
            if file.remembered:
                streams.append(_remembered(file, folder, columns))
            if answers is not None and file.repeated:
                streams.append(_repeated(file, folder, columns, answers, before))
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


def _asked(shards: Iterable[Shard], folder: Path, columns: pa.Schema) -> Iterator[pa.Table]:
    return (table.select(columns.names).cast(columns) for table in tables(shards, folder))


def _remembered(file: InputFile, folder: Path, columns: pa.Schema) -> Iterator[pa.Table]:
    found = batches(folder / file.remembered_parquet, _ROWS, columns.names)
    return (pa.Table.from_batches([batch]).select(columns.names).cast(columns) for batch in found)


def _repeated(file: InputFile, folder: Path, columns: pa.Schema, answers: Ordered, before: int) -> Iterator[pa.Table]:
    """The repeated rows of an input: what they carry is their own, all else is as of the row that was asked."""
    for batch in batches(folder / file.repeated_parquet, _ROWS):
        before += batch.num_rows
        found = answers.until(before)
        if found.num_rows != batch.num_rows:
            raise RunFailed(
                f"{folder}: of {batch.num_rows - found.num_rows} repeated rows the answer is in no shard; use another "
                "run.dir to start afresh"
            )
        cells = [found[name] if name in found.column_names else batch[name] for name in columns.names]
        yield pa.table(cells, schema=columns)


def _answers_of_repeated(manifest: Manifest, folder: Path, columns: pa.Schema, scratch: Path) -> Ordered:
    """What the shards say of the rows that are repeated, in the order of these."""
    file = next(file for file in manifest.inputs if file.repeated)
    carried = set(parquet.schema(folder / file.repeated_parquet).names) - {"error"}
    own = [field for field in columns if field.name not in carried]
    shuffle = Shuffle(scratch, pa.schema([*own, (_NUMBER, pa.int64())]))
    part_rows = max(_PART_ROWS, -(-manifest.repeated // MOST_PARTS))
    for keys, numbers in _groups(manifest, folder):
        group = KeyGroup(keys, numbers)
        for table in tables(manifest.shards(), folder):
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
