"""Parquet files of our own: written whole, with a checksum in each page, which is verified when they are read again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.atomic import atomic_path
from lib.data.run_folder import MANIFEST
from lib.errors import RunFolderError

UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError)
"""What reading a damaged Parquet file raises."""

_GROUP_BYTES = 8 << 20  # of a row group: what is decoded to read one shard, and few enough groups for any input
_COLUMNS = b"overnight.columns"
# Checksums cover the pages, but neither their headers nor the footer. What a flipped bit does there without an error is
# to make fewer rows, which whoever reads a file counts, or to change a column's name or type, which are kept here, too.


@contextmanager
def writer(path: Path, schema: pa.Schema, **options: Any) -> Iterator[pq.ParquetWriter]:
    """Write a file table by table, whole or not at all."""
    signed = schema.with_metadata({**(schema.metadata or {}), _COLUMNS: _columns(schema)})
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, signed, compression="zstd", write_page_checksum=True, **options) as file,
    ):
        yield file


class GroupWriter:
    """Writes small tables as row groups of a size that is quickly read by range."""

    def __init__(self, file: pq.ParquetWriter) -> None:
        self._file = file
        self._waiting: list[pa.Table] = []
        self._bytes = 0
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """Add rows."""
        self._waiting.append(table)
        self._bytes += table.nbytes
        self.rows += table.num_rows
        if self._bytes >= _GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._file.write_table(pa.concat_tables([self._file.schema.empty_table(), *self._waiting]))
        self._waiting, self._bytes = [], 0


@contextmanager
def group_writer(path: Path, schema: pa.Schema, **options: Any) -> Iterator[GroupWriter]:
    """Write a file of small tables, whole or not at all."""
    with writer(path, schema, **options) as file:
        groups = GroupWriter(file)
        yield groups
        groups.flush()


def write(table: pa.Table, path: Path) -> None:
    """Write a table, whole or not at all."""
    with writer(path, table.schema) as file:
        file.write_table(table)


@contextmanager
def opened(path: Path, hint: str = "delete it and run the same line again") -> Iterator[pq.ParquetFile]:
    """A file that we wrote. Raises RunFolderError where it can't be opened, or read in the body.

    hint: what is to be done then.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            require_sound(file, ours=True)
            yield file
    except FileNotFoundError as error:
        raise RunFolderError(f"{path}: cannot be read (there is no such file); {hint}") from error
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise RunFolderError(f"{path}: damaged ({reason}); {hint}") from error


def schema(path: Path) -> pa.Schema:
    """The columns of a file that we wrote. Raises as `read`."""
    with opened(path) as file:
        return file.schema_arrow


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Some columns of a file that we wrote, or all. Raises RunFolderError where it is damaged."""
    with opened(path) as file:
        table = file.read(None if columns is None else list(columns))
        require_rows(table.num_rows, file.metadata.num_rows)
        return table


def batches(path: Path, size: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Some columns of a file that we wrote, or all, at most `size` rows at a time. Raises as `read`."""
    with opened(path) as file:
        rows = 0
        for batch in file.iter_batches(size, columns=None if columns is None else list(columns)):
            rows += batch.num_rows
            yield batch
        require_rows(rows, file.metadata.num_rows)


def blocks(path: Path, size: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The same, exactly `size` rows at a time but for the last, wherever the row groups of the file end."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches(path, size, columns):
        if rows + batch.num_rows >= size:
            yield pa.concat_batches([*waiting, batch.slice(0, size - rows)])
            waiting, batch, rows = [], batch.slice(size - rows), 0
        if batch.num_rows:
            waiting, rows = [*waiting, batch], rows + batch.num_rows
    if waiting:
        yield pa.concat_batches(waiting)


def in_run_folder(path: str | Path) -> bool:
    """Whether a file lies where we write results, and so is as we wrote it.

    Elsewhere it may have been made of one of ours: pyarrow keeps what we wrote down through selections and additions.
    """
    return (Path(path).parent / MANIFEST).is_file()


def require_sound(file: pq.ParquetFile, *, ours: bool) -> None:
    """Raise ArrowInvalid where the footer contradicts itself, or a file of ours has other columns."""
    groups = range(file.num_row_groups)
    require_rows(sum(file.metadata.row_group(group).num_rows for group in groups), file.metadata.num_rows)
    found = file.schema_arrow
    if ours and (found.metadata or {}).get(_COLUMNS, _columns(found)) != _columns(found):
        raise pa.ArrowInvalid("the columns are not those that were written")


def require_rows(found: int, wanted: int) -> None:
    """Raise ArrowInvalid where a file, or a range of it, has another number of rows than it should have."""
    if found != wanted:
        raise pa.ArrowInvalid(f"{found} rows where there must be {wanted}")


def _columns(schema: pa.Schema) -> bytes:
    return " ".join(f"{field.name}:{field.type.id}" for field in schema).encode()
