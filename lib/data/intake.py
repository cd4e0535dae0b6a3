"""Taking in: the whole input is read and checked before any model is loaded, and the chosen rows laid ready."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.data.atomic import atomic_path
from lib.data.battles import SCHEMA, TEXTS, BattlesConfig, OnBadRow, present_columns
from lib.data.canonical import BadCell, canonical, read_name
from lib.data.ids import IdCheck, Place, refuse_duplicates
from lib.data.readers import batches, column_names, largest_row_group, parquet_cells, row_range
from lib.data.selection import Selection
from lib.data.sources import Format, Source, Stat, content_hash, resolve, source_of, stat
from lib.errors import InputError, RunFolderError

FOLDER = "input"
_GROUP_BYTES = 8 << 20  # of a row group: what is decoded to read one shard, and few enough groups for any input
_IN_PLACE_BYTES = 512 << 20
_SHOWN = 5
_ENOUGH_BAD_ROWS = 1000  # the config is wrong then, and the rest of the input won't tell more


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One input file of a run.

    source: absolute path or URL; size (bytes), mtime_ns and sha256 are of that file, size and mtime_ns None where its
    file system can't say. rows: number of chosen rows. parquet: the file the rows are read from, relative to the run
    folder where it lies inside. canonical: whether that holds canonical battles, the chosen rows only; otherwise it
    is the source itself, all rows of it chosen.
    """

    source: str
    size: int | None
    mtime_ns: int | None
    sha256: str
    rows: int
    parquet: str
    canonical: bool


@dataclass(kw_only=True)
class Report:
    """What was found. rows: of the whole input; all else counts chosen rows.

    labels: rows labelled A, B, tie. repaired_cells: cells with half characters, replaced by U+FFFD. unequal_turns: rows
    whose three texts differ in their number of turns (kept as they are). has_ids: whether there is an id column.
    """

    rows: int = 0
    chosen: int = 0
    labels: tuple[int, int, int] = (0, 0, 0)
    repaired_cells: int = 0
    unequal_turns: int = 0
    bad_rows: int = 0
    has_ids: bool = False

    def __str__(self) -> str:
        a, b, tie = self.labels
        parts = [f"{self.chosen:,} of {self.rows:,} rows taken, {'with' if self.has_ids else 'without'} ids"]
        parts.append(f"labels: {a:,} A, {b:,} B, {tie:,} tie" if a + b + tie else "no labels")
        findings = {
            "rows without a label": self.chosen - a - b - tie if a + b + tie else 0,
            "rows with unequal numbers of turns (kept as they are)": self.unequal_turns,
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


def take_in(config: BattlesConfig, folder: Path, suffix: str = "") -> Intake:
    """Read and check the whole input, and write the chosen rows into the run folder as canonical Parquet.

    Parquet of which every row is chosen is checked only, and read where it lies (unless its row groups are too large to
    be read by range). Memory: a few thousand rows, and 8 bytes for each row's id. suffix: of the files' names, so that
    two plans at once in one folder don't write the same file.

    Raises InputError for files, columns, ids and, with `data.on_bad_row=fail`, rows that can't be used; and where no
    row is chosen.
    """
    sources = resolve(config.path)
    columns = [present_columns(column_names(source), config, source.url) for source in sources]
    check = _Check(config, _selection(config, sources), has_ids=_has_ids(config, sources, columns))
    inputs = []
    for number, (source, names) in enumerate(zip(sources, columns, strict=True)):
        before, digest, chosen = stat(source), content_hash(source), check.report.chosen
        tables = check.tables(source, names)
        in_place = _in_place(source, check.selection)
        parquet = source.url if in_place else f"{FOLDER}/{number:05d}{suffix}.parquet"
        if in_place:
            deque(tables, maxlen=0)
        else:
            _write(tables, folder / parquet)
        _require_unchanged(source, before)
        inputs.append(
            InputFile(
                source=source.url,
                size=before.size,
                mtime_ns=before.mtime_ns,
                sha256=digest,
                rows=check.report.chosen - chosen,
                parquet=parquet,
                canonical=not in_place,
            )
        )
    check.finish(_ids(sources, config))
    return Intake(inputs, check.report)


def read_rows(file: InputFile, run_folder: Path, start: int, stop: int, config: BattlesConfig) -> pa.Table:
    """Chosen rows [start, stop) of an input file, as canonical battles.

    Raises InputError where a source that is read in place was changed, RunFolderError where our file is damaged.
    """
    assert 0 <= start <= stop <= file.rows
    if file.canonical:
        path = run_folder / file.parquet
        try:
            with pq.ParquetFile(path, pre_buffer=False) as parquet:
                return pa.Table.from_batches(row_range(parquet, SCHEMA.names, start, stop), SCHEMA)
        except (OSError, pa.ArrowInvalid) as error:
            raise RunFolderError(f"{path}: cannot be read ({error}); use another run.dir to start afresh") from error
    source = source_of(file.source)
    _require_unchanged(source, Stat(file.size, file.mtime_ns))
    columns = present_columns(column_names(source), config, source.url)
    tables, row = [SCHEMA.empty_table()], start
    for cells in parquet_cells(source, columns, start, stop):
        tables.append(canonical(cells, config, source.url, row).table)
        row += tables[-1].num_rows
    return pa.concat_tables(tables)


def relocated(files: Sequence[InputFile], config: BattlesConfig) -> tuple[InputFile, ...]:
    """The same files where `data.path` finds them now: their content, by its hash, is what a plan is about."""
    found = []
    for file, source in zip(files, resolve(config.path), strict=True):
        now = stat(source)
        here = replace(file, source=source.url, size=now.size, mtime_ns=now.mtime_ns)
        found.append(here if file.canonical else replace(here, parquet=source.url))
    return tuple(found)


def read_ids(file: InputFile, run_folder: Path, config: BattlesConfig) -> pa.Array:
    """The ids of an input file's chosen rows (strings, [rows])."""
    if file.canonical:
        return pq.read_table(run_folder / file.parquet, columns=["id"])["id"].combine_chunks()
    return read_rows(file, run_folder, 0, file.rows, config)["id"].combine_chunks()


class _Check:
    """Goes through the input once, counting and collecting what is wrong."""

    def __init__(self, config: BattlesConfig, selection: Selection, *, has_ids: bool) -> None:
        self.selection = selection
        self.report = Report(has_ids=has_ids)
        self._config = config
        self._ids = IdCheck()
        self._bad: list[str] = []
        self._bad_rows = 0

    def tables(self, source: Source, columns: list[str]) -> Iterator[pa.Table]:
        """The chosen rows of a source, a few at a time."""
        row = 0
        for cells in batches(source, columns):
            table, repaired, bad = canonical(cells, self._config, source.url, row)
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
        suspects = self._ids.suspects()
        if len(suspects):
            refuse_duplicates(suspects, ids)
        if not self.report.chosen:
            raise InputError(
                f"data.path={self._config.path}: no row is chosen by data.fold, data.sample and data.limit"
            )

    def _count(self, chosen: pa.Table, repaired: int) -> None:
        report = self.report
        report.chosen += chosen.num_rows
        report.repaired_cells += repaired
        report.bad_rows += chosen.num_rows - chosen["error"].null_count
        counts = np.bincount(chosen["label"].drop_null().to_numpy(), minlength=3)
        report.labels = tuple(int(x + y) for x, y in zip(report.labels, counts, strict=True))  # type: ignore[assignment]
        prompt, a, b = (pc.list_value_length(chosen[name]) for name in TEXTS)
        report.unequal_turns += pc.sum(pc.or_(pc.not_equal(prompt, a), pc.not_equal(prompt, b))).as_py() or 0

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


def _selection(config: BattlesConfig, sources: list[Source]) -> Selection:
    if config.sample is None:
        return Selection(config)
    prompt = config.columns.prompt
    return Selection(config, sum(len(cells[prompt]) for source in sources for cells in batches(source, [prompt])))


def _has_ids(config: BattlesConfig, sources: list[Source], columns: list[list[str]]) -> bool:
    have = [config.columns.id in names for names in columns]
    if any(have) and not all(have):
        raise InputError(
            f"{sources[have.index(False)].url}: no column {config.columns.id!r}, which {sources[have.index(True)].url} "
            "has; give all files ids, or set data.columns.id=null to do without"
        )
    return all(have)


def _ids(sources: list[Source], config: BattlesConfig) -> Iterator[tuple[str | None, Place]]:
    for source in sources:
        row = 0
        for cells in batches(source, [str(config.columns.id)]):
            for cell in cells[str(config.columns.id)]:
                yield read_name(cell)[0], (source.url, row)
                row += 1


def _in_place(source: Source, selection: Selection) -> bool:
    return source.format is Format.PARQUET and selection.all and largest_row_group(source) <= _IN_PLACE_BYTES


def _require_unchanged(source: Source, before: Stat) -> None:
    if stat(source) != before:
        raise InputError(f"{source.url}: was changed while it was in use; leave the input alone and start a new run")


def _write(tables: Iterable[pa.Table], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"compression": "zstd", "use_dictionary": ["file", "model_a", "model_b"], "write_statistics": False}
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, **options) as writer:
        waiting, size = [], 0
        for table in tables:
            waiting.append(table)
            size += table.nbytes
            if size >= _GROUP_BYTES:
                writer.write_table(pa.concat_tables(waiting))
                waiting, size = [], 0
        writer.write_table(pa.concat_tables([SCHEMA.empty_table(), *waiting]))
