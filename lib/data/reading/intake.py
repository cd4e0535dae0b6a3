"""Taking in: the whole input is read and checked before any model is loaded, and the chosen rows laid ready."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.atomic import atomic_path
from lib.data.reading.ids import IdCheck, Place
from lib.data.reading.readers import batches, column_names, largest_row_group, parquet_cells, row_range
from lib.data.reading.selection import Selection
from lib.data.reading.sources import FileFormat, Seen, Source, Stat, content_hash, look, resolve, source_of, stat
from lib.data.rows.base import BadCell, OnBadRow, Rows, read_name
from lib.data.run_folder import INPUT
from lib.errors import InputError, RunFolderError

_GROUP_BYTES = 8 << 20  # of a row group: what is decoded to read one shard, and few enough groups for any input
_IN_PLACE_BYTES = 512 << 20
_SHOWN = 5
_ENOUGH_BAD_ROWS = 1000  # the config is wrong then, and the rest of the input won't tell more


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One input file of a run.

    source: absolute path or URL; size (bytes), mtime_ns, sha256 and ends_sha256 are of that file, as `Seen` has them;
    size and mtime_ns None where its file system can't say. rows: number of chosen rows. parquet: the file the rows are
    read from, relative to the run folder where it lies inside. canonical: whether that holds canonical rows, the chosen
    ones only; otherwise it is the source itself, all rows of it chosen.
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


@dataclass(kw_only=True)
class Report:
    """What was found. rows: of the whole input; all else counts chosen rows.

    counts: what the kind of rows counts; details: that in words. repaired_cells: cells with half characters, replaced
    by U+FFFD. has_ids: whether there is an id column.
    """

    rows: int = 0
    chosen: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)
    repaired_cells: int = 0
    bad_rows: int = 0
    has_ids: bool = False

    def __str__(self) -> str:
        parts = [f"{self.chosen:,} of {self.rows:,} rows taken, {'with' if self.has_ids else 'without'} ids"]
        parts += self.details
        findings = {
            "cells repaired (half characters replaced by U+FFFD)": self.repaired_cells,
            "bad rows recorded": self.bad_rows,
        }
        parts += [f"{what}: {count:,}" for what, count in findings.items() if count]
        return "; ".join(parts)


@dataclass(frozen=True)
class Intake:
    """The input of a run, checked and laid ready."""

    inputs: list[InputFile]
    report: Report


def take_in(config: Rows, folder: Path, suffix: str = "", seen: Sequence[Seen] | None = None) -> Intake:
    """Read and check the whole input, and write the chosen rows into the run folder as canonical Parquet.

    Parquet of which every row is chosen is checked only, and read where it lies (unless its row groups are too large to
    be read by range). Memory: a few thousand rows, and 8 bytes for each row's id. suffix: of the files' names, so that
    two plans at once in one folder don't write the same file. seen: the sources, where they were looked at already.

    Raises InputError for files, columns, ids and, with `data.on_bad_row=fail`, rows that can't be used; where no row is
    chosen; and where a source was changed since it was seen.
    """
    seen = [look(source) for source in resolve(config.path)] if seen is None else seen
    sources = [file.source for file in seen]
    columns = [config.present_columns(column_names(source), source.url) for source in sources]
    check = _Check(config, _selection(config, sources, columns), has_ids=_has_ids(config, sources, columns))
    inputs = []
    for number, (file, names) in enumerate(zip(seen, columns, strict=True)):
        source, chosen = file.source, check.report.chosen
        tables = check.tables(source, names)
        in_place = _in_place(source, check.selection, config)
        parquet = source.url if in_place else f"{INPUT}/{number:05d}{suffix}.parquet"
        if in_place:
            deque(tables, maxlen=0)
        else:
            _write(tables, config.schema, folder / parquet)
        _require_unchanged(source, file.stat)
        if file.stat.mtime_ns is None and content_hash(source) != file.sha256:  # nothing else tells
            raise InputError(f"{source.url}: was changed while it was read; run the same line again")
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
            )
        )
    check.finish(_ids(sources, config))
    config.check_sources(sources)
    return Intake(inputs, check.report)


def read_rows(file: InputFile, run_folder: Path, start: int, stop: int, config: Rows) -> pa.Table:
    """Chosen rows [start, stop) of an input file, in canonical form.

    Raises InputError where a source that is read in place was changed, RunFolderError where our file is damaged.
    """
    assert 0 <= start <= stop <= file.rows
    schema = config.schema
    if file.canonical:
        path = run_folder / file.parquet
        try:
            with pq.ParquetFile(path, pre_buffer=False) as parquet:
                return pa.Table.from_batches(row_range(parquet, schema.names, start, stop), schema)
        except (OSError, pa.ArrowInvalid) as error:
            raise RunFolderError(f"{path}: cannot be read ({error}); use another run.dir to start afresh") from error
    source = source_of(file.source)
    _require_unchanged(source, Stat(file.size, file.mtime_ns))
    columns = config.present_columns(column_names(source), source.url)
    tables, row = [schema.empty_table()], start
    for cells in parquet_cells(source, columns, start, stop):
        tables.append(config.canonical(cells, source.url, row).table)
        row += tables[-1].num_rows
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
        return pq.read_table(run_folder / file.parquet, columns=["id"])["id"].combine_chunks()
    return read_rows(file, run_folder, 0, file.rows, config)["id"].combine_chunks()


class _Check:
    """Goes through the input once, counting and collecting what is wrong."""

    def __init__(self, config: Rows, selection: Selection, *, has_ids: bool) -> None:
        self.selection = selection
        self._config = config
        self.report = Report(has_ids=has_ids)
        self._ids = IdCheck(config.id_column or "id", config.without_ids)
        self._bad: list[str] = []
        self._bad_rows = 0

    def tables(self, source: Source, columns: list[str]) -> Iterator[pa.Table]:
        """The chosen rows of a source, a few at a time."""
        row = 0
        for cells in batches(source, columns):
            table, repaired, bad = self._config.canonical(cells, source.url, row)
            if self.report.has_ids:
                self._ids.add(table["id"].to_pylist(), source.url, row)
            if bad and self._config.on_bad_row is OnBadRow.fail:
                self._collect(bad, source)
            mask = self.selection.mask(self.report.rows, table.num_rows)
            row += table.num_rows
            self.report.rows += table.num_rows
            chosen = table.filter(pa.array(mask))
            self._count(chosen, int(repaired[mask].sum()))
            yield chosen

    def finish(self, ids: Iterable[tuple[str | None, Place]]) -> None:
        """Raise InputError for what shows at the end only. ids: of all rows, for a second look where needed."""
        self._refuse_bad_rows()
        self._ids.finish(ids)
        if not self.report.rows:
            raise InputError(f"data.path={self._config.path}: the documents hold no text, so there is no chunk")
        if not self.report.chosen:
            raise InputError(
                f"data.path={self._config.path}: no row is chosen by data.fold, data.sample and data.limit"
            )
        self.report.details = self._config.describe(self.report.counts, self.report.chosen)

    def _count(self, chosen: pa.Table, repaired: int) -> None:
        report = self.report
        report.chosen += chosen.num_rows
        report.repaired_cells += repaired
        report.bad_rows += chosen.num_rows - chosen["error"].null_count
        report.counts += self._config.tally(chosen)

    def _collect(self, bad: list[BadCell], source: Source) -> None:
        shown = bad[: max(_SHOWN - len(self._bad), 0)]
        self._bad += [f"  {source.url}, row {cell.row}, column {cell.column}: {cell.reason}" for cell in shown]
        self._bad_rows += len({cell.row for cell in bad})
        if self._bad_rows >= _ENOUGH_BAD_ROWS:
            self._refuse_bad_rows("at least ")

    def _refuse_bad_rows(self, at_least: str = "") -> None:
        if self._bad_rows:
            raise InputError(
                f"rows that can't be used: {at_least}{self._bad_rows}; the first, and why:\n"
                + "\n".join(self._bad)
                + "\n"
                "Mend them, or set data.on_bad_row=record to go on without them"
                + (" (or data.turns=text if cells are plain text)" if "malformed JSON" in "".join(self._bad) else "")
            )


def _selection(config: Rows, sources: list[Source], columns: list[list[str]]) -> Selection:
    if config.sample is None:
        return Selection(config)
    first = [names[0] for names in columns]
    counts = (
        len(cells[name]) for source, name in zip(sources, first, strict=True) for cells in batches(source, [name])
    )
    return Selection(config, sum(counts))


def _has_ids(config: Rows, sources: list[Source], columns: list[list[str]]) -> bool:
    name = config.id_column
    have = [name in names for names in columns]
    if any(have) and not all(have):
        raise InputError(
            f"{sources[have.index(False)].url}: no column {name!r}, which {sources[have.index(True)].url} "
            f"has; give all files ids, or set {config.without_ids} to do without"
        )
    return all(have)


def _ids(sources: list[Source], config: Rows) -> Iterator[tuple[str | None, Place]]:
    name = str(config.id_column)
    for source in sources:
        row = 0
        for cells in batches(source, [name]):
            for cell in cells[name]:
                yield read_name(cell)[0], (source.url, row)
                row += 1


def _in_place(source: Source, selection: Selection, config: Rows) -> bool:
    return (
        config.one_for_one
        and source.format is FileFormat.PARQUET
        and selection.all
        and largest_row_group(source) <= _IN_PLACE_BYTES
    )


def _require_unchanged(source: Source, before: Stat) -> None:
    if stat(source) != before:
        raise InputError(f"{source.url}: was changed while it was in use; leave the input alone and start a new run")


def _write(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    repeated = [name for name in ("file", "model_a", "model_b") if name in schema.names]
    options = {"compression": "zstd", "use_dictionary": repeated, "write_statistics": False}
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, **options) as writer:
        waiting, size = [], 0
        for table in tables:
            waiting.append(table)
            size += table.nbytes
            if size >= _GROUP_BYTES:
                writer.write_table(pa.concat_tables(waiting))
                waiting, size = [], 0
        writer.write_table(pa.concat_tables([schema.empty_table(), *waiting]))
