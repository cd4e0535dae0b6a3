"""An input file of a run, as its plan knows it, and the chosen rows that are read from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from lib.data.parquet import opened, read, require_rows
from lib.data.reading.parquet_source import parquet_blocks, parquet_cells, row_range
from lib.data.reading.readers import column_names
from lib.data.reading.sources import Seen, Source, Stat, source_of, stat
from lib.data.rows.base import Rows
from lib.data.rows.columns import canonical
from lib.errors import InputError


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One input file of a run.

    source: absolute path or URL; size (bytes), mtime_ns, sha256 and ends_sha256 are of that file, as `Seen` has them;
    size and mtime_ns None where its file system can't say. rows: number of chosen rows. parquet: the file the rows are
    read from, relative to the run folder where it lies inside. canonical: whether that holds canonical rows, the chosen
    ones only, its pages with checksums; otherwise it is the source itself, all rows of it chosen, of which only size,
    time of change and (on resuming) both ends are looked at again, and checksums of pages where its writer made some.
    """

    source: str
    size: int | None
    mtime_ns: int | None
    sha256: str
    rows: int
    parquet: str
    canonical: bool
    ends_sha256: str | None = None

    @property
    def seen(self) -> Seen:
        """The source as it was when the run was planned."""
        return Seen(source_of(self.source), Stat(self.size, self.mtime_ns), self.sha256, self.ends_sha256)


def read_rows(file: InputFile, run_folder: Path, start: int, stop: int, config: Rows) -> pa.Table:
    """Chosen rows [start, stop) of an input file, in canonical form.

    Raises InputError where a source that is read in place was changed, RunFolderError where our file is damaged.
    """
    assert 0 <= start <= stop <= file.rows
    schema = config.schema
    if file.canonical:
        with opened(run_folder / file.parquet, "use another run.dir to start afresh") as parquet:
            require_rows(parquet.metadata.num_rows, file.rows)
            rows = pa.Table.from_batches(row_range(parquet, schema.names, start, stop), schema)
            require_rows(rows.num_rows, stop - start)
            return rows
    source = source_of(file.source)
    require_unchanged(source, Stat(file.size, file.mtime_ns))
    columns = config.present_columns(column_names(source), source.url)
    tables, row = [schema.empty_table()], start
    read = parquet_blocks if config.in_columns else parquet_cells
    for block in read(source, columns, start, stop, config.as_arrow):
        for table, _, _ in canonical(config, block, source.url, row):
            tables.append(table)
            row += table.num_rows
    if row != stop:
        raise InputError(f"{source.url}: damaged: {row - start} rows where {stop - start} were")
    return pa.concat_tables(tables)


def relocated(files: Sequence[InputFile], seen: Sequence[Seen]) -> tuple[InputFile, ...]:
    """The same files where they are seen now: their content, by its hash, is what a plan is about."""
    found = []
    for file, now in zip(files, seen, strict=True):
        here = replace(file, source=now.source.url, size=now.stat.size, mtime_ns=now.stat.mtime_ns)
        found.append(here if file.canonical else replace(here, parquet=here.source))
    return tuple(found)


def read_ids(file: InputFile, run_folder: Path, config: Rows) -> pa.Array:
    """The ids of an input file's chosen rows (strings, [rows])."""
    if file.canonical:
        return read(run_folder / file.parquet, ["id"])["id"].combine_chunks()
    return read_rows(file, run_folder, 0, file.rows, config)["id"].combine_chunks()


def require_unchanged(source: Source, before: Stat) -> None:
    """Raise InputError where a source is not as it was."""
    if stat(source) != before:
        raise InputError(f"{source.url}: was changed while it was in use; leave the input alone and start a new run")
