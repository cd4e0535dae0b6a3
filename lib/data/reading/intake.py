"""Taking in: the whole input is read and checked before any model is loaded, and the chosen rows laid ready."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lib.ahead import ahead
from lib.data.parquet import writer
from lib.data.reading.input_file import InputFile, require_unchanged
from lib.data.reading.parquet_source import largest_row_group
from lib.data.reading.readers import with_rows
from lib.data.reading.selection import Selection
from lib.data.reading.sources import UNFINISHED, FileFormat, Seen, Source, content_hash, look
from lib.data.rows.base import Rows
from lib.data.rows.checking import Check, Report
from lib.data.run_folder import INPUT
from lib.errors import InputError

_GROUP_BYTES = 8 << 20  # of a row group: what is decoded to read one shard, and few enough groups for any input
_IN_PLACE_BYTES = 512 << 20


@dataclass(frozen=True)
class Intake:
    """The input of a run, checked and laid ready."""

    inputs: list[InputFile]
    report: Report


def take_in(
    config: Rows,
    folder: Path,
    suffix: str = "",
    seen: Sequence[Seen] | None = None,
    see: Callable[[pa.Table], None] | None = None,
) -> Intake:
    """Read and check the input, and write the chosen rows into the run folder as canonical Parquet.

    Only chosen rows count; behind the last one of `data.limit` nothing is read. Of several files those without rows are
    passed over.

    Parquet of which every row is chosen is checked only, and read where it lies (unless its row groups are too large to
    be read by range). Memory is the same for however many rows. suffix: of the files' names, so that two plans at once
    in one folder don't write the same file. seen: the sources, where they were looked at already. see: is shown the
    chosen rows, in canonical form, in their order.

    Raises InputError for files, columns, ids and, with `data.on_bad_row=fail`, rows that can't be used; where no row is
    chosen; and where a source was changed since it was seen.
    """
    seen = [look(source) for source in config.sources()] if seen is None else seen
    sources = with_rows([file.source for file in seen], config.dialect)
    check = Check(config, sources, see, folder)
    check.report.empty_files = len(seen) - len(sources)
    inputs = []
    for number, file in enumerate(seen):
        source, chosen, bad = file.source, check.report.chosen, check.report.bad_rows
        tables = check.tables(source) if source in check.columns else iter(())
        in_place = source in check.columns and _in_place(source, check.selection, config)
        parquet = source.url if in_place else f"{INPUT}/{number:05d}{suffix}.parquet"
        if in_place:
            deque(tables, maxlen=0)
        else:
            _write(ahead(tables), config.schema, folder / parquet)
        require_unchanged(source, file.stat)
        if file.stat.mtime_ns is None and content_hash(source) != file.sha256:  # nothing else tells
            raise InputError(f"{source.url}: was changed while it was read; {UNFINISHED}, then run the same line again")
        inputs.append(
            InputFile(
                source=source.url,
                size=file.stat.size,
                mtime_ns=file.stat.mtime_ns,
                sha256=file.sha256,
                ends_sha256=file.ends_sha256,
                rows=check.report.chosen - chosen,
                parquet=parquet,
                canonical=not in_place,
                bad=check.report.bad_rows - bad,
            )
        )
    check.finish()
    config.check_chosen([folder / file.parquet for file in inputs if file.canonical])
    return Intake(inputs, check.report)


def _in_place(source: Source, selection: Selection, config: Rows) -> bool:
    return (
        config.one_for_one
        and not config.shows_files
        and source.address == source.url  # a manifest does not say how to open it
        and source.format is FileFormat.PARQUET
        and selection.all
        and largest_row_group(source) <= _IN_PLACE_BYTES
    )


def _write(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    repeated = [name for name in ("file", "model_a", "model_b") if name in schema.names]
    with writer(path, schema, use_dictionary=repeated, write_statistics=False) as file:
        waiting, size = [], 0
        for part in (part for table in tables for part in _parts(table)):
            waiting.append(part)
            size += part.nbytes
            if size >= _GROUP_BYTES:
                file.write_table(pa.concat_tables(waiting))
                waiting, size = [], 0
        file.write_table(pa.concat_tables([schema.empty_table(), *waiting]))


def _parts(table: pa.Table) -> Iterator[pa.Table]:
    """A table in parts that are not much larger than a row group is to be."""
    rows = max(table.num_rows * _GROUP_BYTES // max(table.nbytes, 1), 1)
    yield from (table.slice(first, rows) for first in range(0, table.num_rows, rows))
