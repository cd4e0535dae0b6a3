"""An input file of a run, as its plan knows it, and the chosen rows that are read from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.data.joining.shuffle import Ordered, interleave
from lib.data.parquet import batches, opened, require_rows
from lib.data.reading.parquet_source import parquet_blocks, parquet_cells, row_range
from lib.data.reading.readers import column_names
from lib.data.reading.sources import UNFINISHED, Seen, Source, Stat, source_of, stat
from lib.data.rows.base import Rows
from lib.data.rows.columns import canonical
from lib.data.run_folder import REMEMBERED, REPEATED
from lib.errors import InputError

EQUALS = "row.equals"
"""The column of asked rows that tells equals apart, where that counts."""

_ID_ROWS = 16_384
_ROWS = 8192
_IDS = pa.schema([("row", pa.int64()), ("id", pa.string())])
_AFRESH = "use another run.dir to start afresh"


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One input file of a run.

    source: absolute path or URL; size (bytes), mtime_ns, sha256 and ends_sha256 are of that file, as `Seen` has them;
    size and mtime_ns None where its file system can't say. rows: number of chosen rows: of those that are asked,
    remembered from earlier runs, and repeated, since they ask what another row of this run asks. bad: how many of the
    asked ones are bad rows, which fail unasked. parquet: the file that the asked ones are read from, relative to the
    run folder where it lies inside. canonical: whether that holds canonical rows, the asked ones only, its pages with
    checksums; otherwise it is the source itself, all rows of it asked, of which only size, time of change and (on
    resuming) both ends are looked at again, and checksums of pages where its writer made some.
    """

    source: str
    size: int | None
    mtime_ns: int | None
    sha256: str
    rows: int
    parquet: str
    canonical: bool
    ends_sha256: str | None = None
    remembered: int = 0
    repeated: int = 0
    bad: int = 0

    @property
    def asked(self) -> int:
        """Number of rows that shards are made of."""
        return self.rows - self.remembered - self.repeated

    @property
    def remembered_parquet(self) -> str:
        """The file of remembered rows, as they stand in the result; there where there are any."""
        return f"{REMEMBERED}/{PurePath(self.parquet).name}"

    @property
    def repeated_parquet(self) -> str:
        """The file of repeated rows, in canonical form, with keys; there where there are any."""
        return f"{REPEATED}/{PurePath(self.parquet).name}"

    @property
    def seen(self) -> Seen:
        """The source as it was when the run was planned."""
        return Seen(source_of(self.source), Stat(self.size, self.mtime_ns), self.sha256, self.ends_sha256)


def read_rows(file: InputFile, run_folder: Path, start: int, stop: int, config: Rows) -> pa.Table:
    """Asked rows [start, stop) of an input file, in canonical form.

    Raises InputError where a source that is read in place was changed, RunFolderError where our file is damaged.
    """
    return pa.concat_tables([config.schema.empty_table(), *_rows(file, run_folder, start, stop, config)])


def read_equals(file: InputFile, run_folder: Path, start: int, stop: int) -> npt.NDArray[np.int64]:
    """Of asked rows [start, stop) the number of their equals before them in the input, where that counts; else 0."""
    if file.canonical:
        with opened(run_folder / file.parquet, _AFRESH) as parquet:
            if EQUALS in parquet.schema_arrow.names:
                found = list(row_range(parquet, [EQUALS], start, stop))
                equals = pa.Table.from_batches(found, pa.schema({EQUALS: pa.int64()}))[EQUALS]
                return np.asarray(equals, np.int64)
    return np.zeros(stop - start, np.int64)


def all_rows(file: InputFile, run_folder: Path, config: Rows) -> Iterator[pa.Table]:
    """All asked rows of an input file, in canonical form, some thousands at a time. Raises as `read_rows`."""
    return _rows(file, run_folder, 0, file.asked, config, _ROWS)


def _rows(
    file: InputFile, run_folder: Path, start: int, stop: int, config: Rows, size: int | None = None
) -> Iterator[pa.Table]:
    assert 0 <= start <= stop <= file.asked
    row = start
    if file.canonical:
        with opened(run_folder / file.parquet, _AFRESH) as parquet:
            require_rows(parquet.metadata.num_rows, file.asked)
            for batch in row_range(parquet, config.schema.names, start, stop, size):
                yield pa.Table.from_batches([batch], config.schema)
                row += batch.num_rows
            require_rows(row, stop)
        return
    source = source_of(file.source)
    require_unchanged(source, Stat(file.size, file.mtime_ns))
    columns = config.present_columns(column_names(source), source.url)
    read = parquet_blocks if config.in_columns else parquet_cells
    for block in read(source, columns, start, stop, config.as_arrow):
        for table, _, _ in canonical(config, block, source.url, row):
            yield table
            row += table.num_rows
    if row != stop:
        raise InputError(f"{source.url}: damaged: {row - start} rows where {stop - start} were")


def relocated(files: Sequence[InputFile], seen: Sequence[Seen]) -> tuple[InputFile, ...]:
    """The same files where they are seen now: their content, by its hash, is what a plan is about."""
    found = []
    for file, now in zip(files, seen, strict=True):
        here = replace(file, source=now.source.url, size=now.stat.size, mtime_ns=now.stat.mtime_ns)
        found.append(here if file.canonical else replace(here, parquet=here.source))
    return tuple(found)


def read_ids(file: InputFile, run_folder: Path, config: Rows) -> Iterator[pa.Array]:
    """The ids of an input file's chosen rows (strings), in their order, block by block."""
    if file.asked < file.rows:
        paths = [file.parquet]
        paths += [file.remembered_parquet] * (file.remembered > 0) + [file.repeated_parquet] * (file.repeated > 0)
        streams = [Ordered(_ids_and_rows(run_folder / path), _IDS, "row") for path in paths]
        yield from (table["id"].combine_chunks() for table in interleave(streams, "row"))
        return
    if file.canonical:
        yield from (batch["id"] for batch in batches(run_folder / file.parquet, _ID_ROWS, ["id"]))
        return
    for rows in all_rows(file, run_folder, config):
        yield rows["id"].combine_chunks()


def _ids_and_rows(path: Path) -> Iterator[pa.Table]:
    return (pa.Table.from_batches([batch], _IDS) for batch in batches(path, _ID_ROWS, _IDS.names))


def require_unchanged(source: Source, before: Stat) -> None:
    """Raise InputError where a source is not as it was."""
    if stat(source) != before:
        raise InputError(
            f"{source.url}: was changed while it was in use; leave the input alone and start a new run; {UNFINISHED}"
        )
