"""The whole input, read and checked row by row: what is wrong with it is said before anything is done about it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lib.ahead import ahead
from lib.data.reading.cells import row_count
from lib.data.reading.dialect import USUAL
from lib.data.reading.ids import IdCheck, Place
from lib.data.reading.input_file import require_unchanged
from lib.data.reading.readers import batches, blocks, column_names, has_rows, with_rows
from lib.data.reading.selection import Selection
from lib.data.reading.sources import FileFormat, Source, stat
from lib.data.rows.base import BadCell, OnBadRow, Rows, end, read_name
from lib.data.rows.columns import canonical
from lib.errors import ConfigError, InputError

_SHOWN = 5
_ENOUGH_BAD_ROWS = 1000  # the config is wrong then, and the rest of the input won't tell more


@dataclass(kw_only=True)
class Report:
    """What was found. rows: of the whole input (with `first_only`: as far as it was read); all else counts chosen rows.

    counts: what the kind of rows counts; details: that in words. repaired_cells: cells with half characters, replaced
    by U+FFFD. has_ids: whether there is an id column. empty_files: passed over, since others have rows.
    """

    rows: int = 0
    chosen: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)
    repaired_cells: int = 0
    bad_rows: int = 0
    has_ids: bool = False
    first_only: bool = False
    empty_files: int = 0

    def __str__(self) -> str:
        of = "the first " if self.first_only else ""
        parts = [f"{self.chosen:,} of {of}{self.rows:,} rows taken, {'with' if self.has_ids else 'without'} ids"]
        parts += self.details
        findings = {
            "cells repaired (half characters replaced by U+FFFD)": self.repaired_cells,
            "bad rows recorded": self.bad_rows,
            "empty files passed over": self.empty_files,
        }
        parts += [f"{what}: {count:,}" for what, count in findings.items() if count]
        return "; ".join(parts)


def checked_rows(config: Rows) -> Iterator[pa.Table]:
    """The chosen rows in canonical form, a few at a time, checked as those of a run are: what is wrong is said at the
    end.

    For what needs no copy of its input. Raises ConfigError and InputError as `take_in` does.
    """
    sources = with_rows(config.sources(), config.dialect)
    check = Check(config, sources)
    for source in sources:
        before = stat(source)
        yield from check.tables(source)
        require_unchanged(source, before)
    check.finish()


def require_columns(config: Rows, sources: Sequence[Source]) -> None:
    """Raise InputError where the first file that has rows lacks a column, or can't be read so far."""
    for source in sources:
        if len(sources) == 1 or has_rows(source, config.dialect):
            _columns(config, source)
            return


class Check:
    """Goes through the input once, counting and collecting what is wrong.

    sources: that have rows. see: is shown the chosen rows, in canonical form, in their order. folder: as of `IdCheck`.
    Raises ConfigError, InputError for files and columns that can't be read so.
    """

    def __init__(
        self,
        config: Rows,
        sources: Sequence[Source],
        see: Callable[[pa.Table], None] | None = None,
        folder: Path | None = None,
    ) -> None:
        _require_use(config, sources)
        self.columns = {source: _columns(config, source) for source in sources}
        self.selection = _selection(config, self.columns)
        self._see = see
        self._config = config
        self.report = Report(has_ids=_has_ids(config, self.columns))
        self._ids = IdCheck(config.id_column or "id", config.without_ids, folder)
        self._bad: list[str] = []
        self._reasons: set[str] = set()
        self._bad_rows = 0

    def tables(self, source: Source) -> Iterator[pa.Table]:
        """The chosen rows of a source, a few at a time."""
        columns = self.columns[source]
        row = source_row = 0
        left = None if self.selection.end is None else max(self.selection.end - self.report.rows, 0)
        if left == 0:
            return
        options: dict[str, Any] = {
            "end": left if self._config.one_for_one else None,
            "as_arrow": self._config.as_arrow,
            "late": partial(self._late, source),
        }
        read = blocks if self._config.in_columns else batches
        for block in ahead(read(source, columns, self._config.dialect, **options)):
            if left is not None and row >= left:
                break
            first = row
            try:
                for table, repaired, bad in canonical(self._config, block, source.url, first, source_row):
                    yield self._chosen(table, repaired, bad, source, row)
                    row += table.num_rows
            except MemoryError as error:
                raise InputError(f"{source.url}: not enough memory for the rows from {first} on") from error
            source_row += row_count(block)
        self.report.first_only = self.selection.end is not None

    def _chosen(
        self, table: pa.Table, repaired: npt.NDArray[np.int64], bad: list[BadCell], source: Source, row: int
    ) -> pa.Table:
        """Those of canonical rows that are chosen, checked and counted. row: number of the first."""
        mask = self.selection.mask(self.report.rows, table.num_rows)
        if bad and self._config.on_bad_row is OnBadRow.fail:
            self._collect([cell for cell in bad if mask[cell.row - row]], source)
        self.report.rows += table.num_rows
        chosen = table if mask.all() else table.filter(pa.array(mask))
        if self.report.has_ids:
            # A row of which the id can't be read is bad, and known as such.
            named = (
                chosen
                if not chosen["id"].null_count
                else chosen.filter(pc.or_(pc.is_valid(chosen["id"]), pc.is_null(chosen["error"])))
            )
            self._ids.add(named["id"].combine_chunks(), source.url, named["row"].to_numpy())
        self._count(chosen, int(repaired[mask].sum()))
        if self._see is not None:
            self._see(chosen)
        return chosen

    def finish(self) -> None:
        """Raise InputError for what shows at the end only."""
        self._refuse_bad_rows()
        self._ids.finish(_ids(list(self.columns), self._config, self.selection))
        if not self.report.rows:
            raise InputError(f"data.path={self._config.path}: the documents hold no text, so there is no chunk")
        if not self.report.chosen:
            raise InputError(
                f"data.path={self._config.path}: no row is chosen by data.fold, data.sample and data.limit"
            )
        self.report.details = self._config.describe(self.report.counts, self.report.chosen)

    def _late(self, source: Source, keys: list[str], key: str, row: int) -> list[str]:
        """The columns to be read of a JSONL file in which a key comes late. Raises InputError where it is too late."""
        where = f"{source.url}, row {row}, column {key}: is here for the first time"
        if key == self._config.id_column and not self.report.has_ids:
            raise InputError(
                f"{where}, so the rows before have no ids; give them some, or set {self._config.without_ids}"
            )
        try:
            return self._config.present_columns(keys, source.url)
        except InputError as error:
            raise InputError(f"{where}; {error}") from error

    def _count(self, chosen: pa.Table, repaired: int) -> None:
        report = self.report
        report.chosen += chosen.num_rows
        report.repaired_cells += repaired
        report.bad_rows += chosen.num_rows - chosen["error"].null_count
        report.counts += self._config.tally(chosen)

    def _collect(self, bad: list[BadCell], source: Source) -> None:
        shown = bad[: max(_SHOWN - len(self._bad), 0)]
        self._bad += [f"  {source.url}, row {cell.row}, {'column ' if cell.column else ''}{cell}" for cell in shown]
        self._reasons.update(map(str, shown))
        self._bad_rows += len({cell.row for cell in bad})
        if self._bad_rows >= _ENOUGH_BAD_ROWS:
            self._refuse_bad_rows("at least ")

    def _refuse_bad_rows(self, at_least: str = "") -> None:
        if self._bad_rows:
            raise InputError(
                f"rows that can't be used: {at_least}{self._bad_rows}; the first, and why:\n"
                + "\n".join(self._bad)
                + f"\n{self._config.advice(self._reasons)}"
            )


def _columns(config: Rows, source: Source) -> list[str]:
    return config.present_columns(column_names(source, config.dialect, end(config)), source.url)


def _require_use(config: Rows, sources: Sequence[Source]) -> None:
    """Raise ConfigError for a dialect where no file could have one."""
    if config.dialect != USUAL and not any(source.format in (FileFormat.CSV, FileFormat.TSV) for source in sources):
        raise ConfigError(
            f"data.separator and data.quotes are about CSV and TSV; {sources[0].url} is neither, so leave them out"
        )


def _selection(config: Rows, columns: Mapping[Source, list[str]]) -> Selection:
    if config.sample is None:
        return Selection(config)
    total = 0
    for source, names in columns.items():
        for cells in batches(source, names[:1] if config.one_for_one else names, config.dialect):
            total += (
                len(cells[names[0]]) if config.one_for_one else config.canonical(cells, source.url, 0).table.num_rows
            )
    return Selection(config, total)


def _has_ids(config: Rows, columns: Mapping[Source, list[str]]) -> bool:
    name = config.id_column
    having = [source.url for source, names in columns.items() if name in names]
    lacking = [source.url for source, names in columns.items() if name not in names]
    if having and lacking:
        raise InputError(
            f"{lacking[0]}: no column {name!r}, which {having[0]} has; give all files ids, or set "
            f"{config.without_ids} to do without"
        )
    return not lacking


def _ids(sources: list[Source], config: Rows, selection: Selection) -> Iterator[tuple[str | None, Place]]:
    """The ids of the chosen rows, None where one can't be read."""
    name, before = str(config.id_column), 0  # rows of the files before
    for source in sources:
        left = None if selection.end is None else selection.end - before
        if left is not None and left <= 0:
            return
        row = 0
        for cells in batches(source, [name], config.dialect, end=left):
            for cell, taken in zip(cells[name], selection.mask(before + row, len(cells[name])), strict=True):
                if taken:
                    yield _name(cell), (source.url, row)
                row += 1
        before += row


def _name(cell: object) -> str | None:
    try:
        return read_name(cell)[0]
    except ValueError:  # a bad cell, and known as such
        return None
