"""What all kinds of rows share: where they are, which of them are taken, and what a reader makes of them."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from omegaconf import MISSING

from lib.config import transient
from lib.data.reading.cells import BadLine, Cells, Unreadable
from lib.data.reading.dialect import Dialect, Quotes
from lib.data.reading.sources import Source
from lib.data.rows.settling import settled
from lib.data.rows.text_repair import repair
from lib.errors import ConfigError

PLACE = {"file": pa.string(), "row": pa.int64(), "id": pa.string()}
"""The first columns of all canonical rows. row: number of the record in its file, from 0."""

ITEMS = pa.list_(pa.string())
"""A text, in one or several pieces: the turns of a chat, passages, or just the one."""


_EXACT = 1 << 53  # below it a float is told from its neighbours
_TOO_MANY = 1 << 31  # rows: numbers of them are multiplied, and must stay below 2**63


class OnBadRow(Enum):  # members in lower case, since OmegaConf knows them by their names
    """What is done about a row that can't be used."""

    fail = "fail"
    record = "record"


class Verify(Enum):
    """How a run that is resumed makes sure that its input is still the same: `sources.look` says what quick notices.

    A plan is always made from the whole input.
    """

    quick = "quick"
    full = "full"


@dataclass(frozen=True, kw_only=True)
class RowsConfig:
    """Where the rows are and which are taken.

    path: a file, a glob, a folder or a URL. on_bad_row: `record` keeps the row with its reason. verify: `full` reads
    the whole input again when a run is resumed. settle: seconds for which every file must have stayed as it is before
    it is read.

    Rows are chosen over all files in their order, and in this order. fold: every `folds`-th row from the `fold`-th on
    (iloc[fold::folds]). folds: as many. sample: of these so many at random, in the order of the input. sample_seed: of
    that choice. limit: of these the first so many.

    Only chosen rows count: what is wrong with others doesn't matter.

    separator, quotes: of CSV and TSV files, where they aren't as usual (`Dialect` says what that is).
    """

    path: str = transient(default=MISSING)  # the fingerprint has the content's hash
    on_bad_row: OnBadRow = OnBadRow.fail
    verify: Verify = transient(default=Verify.quick)  # noqa: RUF009  an Enum can't change
    settle: float = transient(default=0.0)
    limit: int | None = None
    sample: int | None = None
    sample_seed: int = 0
    fold: int | None = None
    folds: int = 5
    separator: str | None = None
    quotes: Quotes | None = None

    def __post_init__(self) -> None:
        if self.separator is not None and (len(self.dialect.separator or "") != 1 or self.separator in '"\r\n'):
            raise ConfigError(
                f"data.separator={self.separator!r}: must be one character, such as 'data.separator=\";\"' (or \\t)"
            )
        if self.settle < 0:
            raise ConfigError(f"data.settle={self.settle:g}: must not be negative")
        for key, value in (("limit", self.limit), ("sample", self.sample), ("folds", self.folds)):
            if value is not None and not 1 <= value < _TOO_MANY:
                raise ConfigError(f"data.{key}={value}: must be at least 1 and below 2**31")
        if self.fold is not None and not 0 <= self.fold < self.folds:
            raise ConfigError(f"data.fold={self.fold}: must be from 0 to {self.folds - 1} (data.folds={self.folds})")
        if self.sample is None and self.sample_seed:
            raise ConfigError(f"data.sample_seed={self.sample_seed}: has no effect without data.sample; leave it out")
        if self.fold is None and self.folds != 5:
            raise ConfigError(f"data.folds={self.folds}: has no effect without data.fold; leave it out")
        if self.sample_seed < 0:
            raise ConfigError(f"data.sample_seed={self.sample_seed}: must not be negative")

    def sources(self) -> list[Source]:
        """The files of `path`, once all have settled. Raises InputError."""
        return settled(self.path, self.settle)

    @property
    def dialect(self) -> Dialect:
        """How CSV and TSV files are written."""
        return Dialect("\t" if self.separator == "\\t" else self.separator, self.quotes)


def end(config: RowsConfig) -> int | None:
    """The number after that of the last row that may be chosen, over all files; None where all have to be read."""
    if config.limit is None or config.sample is not None:
        return None
    return config.limit if config.fold is None else config.fold + config.folds * (config.limit - 1) + 1


class BadCell(NamedTuple):
    """A cell that can't be used, and why. column: "" where its whole line can't be read; the reason names the line."""

    row: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"{self.column}: {self.reason}" if self.column else self.reason


class Canonical(NamedTuple):
    """n rows in canonical form. repaired: int64 [n], cells of a row whose text was repaired."""

    table: pa.Table
    repaired: npt.NDArray[np.int64]
    bad: list[BadCell]


class Odd(Exception):
    """Something in whole columns takes a look at each cell of some rows (bool [n]), or of rows yet to be found."""

    def __init__(self, rows: pa.Array | None = None) -> None:
        super().__init__()
        self.rows = rows


@dataclass(frozen=True, kw_only=True)
class Rows(RowsConfig, ABC):
    """Rows of one kind, and how they are read: from the cells of files to canonical rows."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns of canonical rows: those of PLACE first, `error` last."""

    @property
    @abstractmethod
    def carried(self) -> Sequence[str]:
        """The columns of canonical rows that a result keeps: file, row, id first."""

    @property
    @abstractmethod
    def id_column(self) -> str | None:
        """The user's column of ids; None where rows are not told apart by one."""

    @property
    def without_ids(self) -> str | None:
        """The setting that does without ids, None where all rows need one."""
        return None

    @property
    def one_for_one(self) -> bool:
        """Whether each row of a file is one row here, so that a file may be read where it lies."""
        return True

    @property
    def shows_files(self) -> bool:
        """Whether images are put into rows from files that these name: so rows are never read where they lie."""
        return False

    def shown_files(self) -> Iterator[tuple[str, Path]]:
        """What all rows name as images, chosen or not, each with the folder that it starts from."""
        return iter(())

    @abstractmethod
    def present_columns(self, names: Sequence[str], file: str) -> list[str]:
        """The columns of a file that are read. Raises InputError where one is missing that must be there."""

    def check_chosen(self, files: Sequence[Path]) -> None:
        """Raise InputError for what the chosen rows together must not be, besides what their ids tell.

        files: Parquet of canonical rows, where they are not read in place.
        """

    @abstractmethod
    def canonical(self, cells: Cells, file: str, first_row: int, first_source_row: int = 0) -> Canonical:
        """Canonical form of consecutive rows of a file, of the columns that `present_columns` gave.

        first_row: the number of the first row in its file; first_source_row: of the first cells there, where that is
        another (not `one_for_one`). A cell that can't be used is null in the table.
        """

    @property
    def in_columns(self) -> bool:
        """Whether there is `columnar`; else files are read a few rows at a time."""
        return False

    def columnar(self, cells: pa.RecordBatch, file: str, first_row: int) -> pa.Table:
        """The table that `canonical` makes of the same cells, where none is bad or repaired.

        Raises Odd where it takes a look at each cell.
        """
        raise Odd

    @property
    def text_columns(self) -> list[str]:
        """The columns of canonical rows that hold a row's texts, as lists."""
        return [field.name for field in self.schema if field.type == ITEMS]

    @property
    def content(self) -> Sequence[str]:
        """The columns of canonical rows that say what a row asks: texts, or lists of texts. Keys are made of them."""
        return self.text_columns

    @property
    def alone(self) -> bool:
        """Whether a row's result follows from its content alone, so that of equal ones only one is asked."""
        return True

    @property
    def as_arrow(self) -> Collection[str]:
        """Columns of Parquet that `canonical` gets as arrays."""
        return ()

    def needed_id(self, cells: Cells) -> str | None:
        """The column of ids where a row without one is to be recorded; None where such rows are refused together."""
        return self.id_column if self.on_bad_row is OnBadRow.record and self.id_column in cells else None

    def advice(self, bad: Collection[str]) -> str:
        """What could be done about bad cells, given their columns and reasons."""
        return "Mend them, or set data.on_bad_row=record to go on without them"

    def tally(self, rows: pa.Table) -> Counter[str]:
        """What is counted for the report, besides rows."""
        return Counter()

    def describe(self, counts: Counter[str], rows: int) -> list[str]:
        """What the tally of so many rows says, in words."""
        return []


class CellReader:
    """Reads the columns of some rows cell by cell, and notes what was repaired and what is bad."""

    def __init__(self, cells: Cells, file: str, first_row: int) -> None:
        some = next(iter(cells.values()))
        self.rows = len(some)
        self.repaired = np.zeros(self.rows, np.int64)
        self.bad = [BadCell(first_row + n, "", cell.reason) for n, cell in enumerate(some) if isinstance(cell, BadLine)]
        numbers = range(first_row, first_row + self.rows)
        self.values: dict[str, list[Any]] = {"file": [file] * self.rows, "row": list(numbers)}
        self._first_row = first_row

    def read(self, column: str, cells: Iterable[Any] | None, parse: Callable[[Any], Any]) -> list[Any]:
        """Parsed cells; None where `parse` raises ValueError, or RecursionError for what is nested too deep.

        cells: as tuples where several columns are read as one; None for a column that isn't there. parse: cell -> its
        value, and repairs made in it.
        """
        values: list[Any] = []
        for row, cell in enumerate([None] * self.rows if cells is None else cells):
            parts = cell if isinstance(cell, tuple) else (cell,)
            unreadable = next((part for part in parts if isinstance(part, Unreadable)), None)
            value, repairs = None, 0
            try:
                if unreadable is not None:
                    raise ValueError(unreadable.reason)
                value, repairs = parse(cell)
            except (ValueError, RecursionError) as error:
                why = "nested too deep" if isinstance(error, RecursionError) else repair(str(error))[0]
                if not isinstance(unreadable, BadLine):  # that one is noted once for all columns
                    self.bad.append(BadCell(self._first_row + row, column, why))
            self.repaired[row] += repairs > 0
            values.append(value)
        return values

    def table(self, schema: pa.Schema, needed: str | None = None) -> Canonical:
        """What was put into `values`, with an `error` in the rows of bad cells.

        needed: the column of ids where a row without one is a bad row, too.
        """
        failed = {bad.row for bad in self.bad}
        for row, key in enumerate(self.values.get("id", ()) if needed is not None else (), self._first_row):
            if key is None and row not in failed:
                self.bad.append(BadCell(row, str(needed), "null (or an empty cell), where other rows have one"))
        errors: list[str | None] = [None] * self.rows
        for bad in self.bad:
            row = bad.row - self._first_row
            errors[row] = f"{errors[row]}; {bad}" if errors[row] else str(bad)
        return Canonical(pa.table({**self.values, "error": errors}, schema=schema), self.repaired, sorted(self.bad))


def read_name(cell: object) -> tuple[str | None, int]:
    """A name or id, as text: numbers as well (whole floats without their point, as pandas makes them of integers)."""
    if cell is None or cell != cell or cell == "":
        return None, 0
    text = str(cell) if isinstance(cell, UUID) else number_text(cell)
    if not isinstance(text, str) or (isinstance(cell, (float, Decimal)) and not text.lstrip("-").isdigit()):
        raise ValueError(f"{kind(cell)}, not a text or a whole number")
    return repair(text)


def number_text(cell: object) -> object:
    """A number as text, whole ones without a point (pandas makes floats of integers); anything else as it is."""
    if isinstance(cell, (float, Decimal)) and -_EXACT < cell < _EXACT and cell == int(cell):
        cell = int(cell)
    return str(cell) if isinstance(cell, (int, float, Decimal)) and not isinstance(cell, bool) else cell


def read_items(cell: object) -> tuple[list[str | None], int]:
    """A text, or a list of texts (of which some may be null, but not all be missing)."""
    if cell is None:
        raise ValueError("null (or an empty cell), not a text")
    if isinstance(cell, str):
        cell = [cell]
    if not isinstance(cell, list):
        raise ValueError(f"{kind(cell)}, not a text or a list of texts")
    items: list[str | None] = []
    repairs = 0
    for number, item in enumerate(cell):
        if item is not None and not isinstance(item, str):
            raise ValueError(f"turn {number} is {kind(item)}, not a text")
        text, lone = (None, 0) if item is None else repair(item)
        items.append(text)
        repairs += lone
    return items, repairs


def kind(value: object) -> str:
    """What a value is, in words."""
    return {"dict": "an object", "list": "a list", "bool": "a truth value"}.get(
        type(value).__name__, f"a value of type {type(value).__name__}"
    )
