"""The rows of a run as DuckDB sees them: what filters and orders need is in memory, all else stays in the files."""

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa

from lib.data import parquet
from lib.errors import InputError, RunFolderError
from lib.report.viewer.row_files import RowFiles, State, state_of
from lib.report.viewer.selection import PAGE_ROWS, Flag, Order, Selection
from lib.report.viewer.shape import Shape, shape_of
from lib.report.viewer.sql import PLACE, as_text, is_text, is_texts, literal, quoted, rows_of, shortened

Cells = dict[str, Any]
"""The cells of a row by their columns."""

MODEL = "model"
"""The filter by a model on either side of a battle."""

_FEW_VALUES, _SHORT, _SAMPLE_ROWS = 200, 100, 5000
_ROWS_OF_A_VALUE = 2  # at least, on average
_MOST_FILTERS = 8
_SEARCHES = 4  # that are remembered, so that turning the page does not search again
_OWN = {"n": "INTEGER", "part": "INTEGER", "place": "INTEGER", "source": "INTEGER", "row": "BIGINT"}
_KEYS = {"place": "n", "least_sure": "sureness", "longest": "length", "farthest": "distance"}  # of Order
_BESIDE_TEXTS = {"file", "id", "question", "label", "error"}


@dataclass(kw_only=True)
class RowIndex:
    """Rows by their numbers in the result, from 0. For one caller at a time: everything holds a lock.

    values: of the columns with few values, how many rows have each; known: of these and of such as are no filter, the
    values. counts: rows with each flag. total: all rows. has_lengths: whether any row has one.
    searched: what a search looks at, in words. firsts: the number of the first row in each file. inputs: files of the
    run folder that hold the input's texts, each with the number of its input and its columns. states: how all these
    files were when they were opened. spill: the folder of what memory does not hold, removed with the index.
    """

    files: RowFiles
    shape: Shape
    database: duckdb.DuckDBPyConnection
    spill: TemporaryDirectory[str]
    total: int = 0
    has_lengths: bool = True
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    counts: dict[Flag, int] = field(default_factory=dict)
    searched: str = ""
    firsts: list[int] = field(default_factory=list)
    inputs: list[tuple[int, Path, pa.Schema]] = field(default_factory=list)
    known: dict[str, list[str]] = field(default_factory=dict)
    states: dict[Path, State] = field(default_factory=dict)
    _found: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def has_labels(self) -> bool:
        """Whether any row has a label."""
        return "label" in self.files.columns.names and self.known.get("label") != []

    @property
    def orders(self) -> list[str]:
        """What rows can be ordered by."""
        known = [Order.place, *([Order.least_sure] if self.shape.sureness else []), Order.longest]
        farthest = [Order.farthest] if Flag.differs in self.counts else []
        return [order.name for order in known + farthest] + list(self.shape.numbers)

    def run(self, sql: str, given: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query of ours; what is not ours stands in `given`. Raises RunFolderError for damaged files."""
        with self._lock:
            try:
                return self.database.execute(sql, given).fetchall()
            except duckdb.Error as error:
                self.require_unchanged()
                said = str(error).splitlines()[0]
                if isinstance(error, duckdb.OutOfMemoryException):
                    raise RunFolderError(
                        f"{self.files.folder}: its cells are too large for the little memory of the viewer ({said}); "
                        "pandas.read_parquet reads them"
                    ) from error
                raise RunFolderError(
                    f"{self.files.folder}: cannot be read ({said}); jobs.merge run.dir=DIR makes the result again"
                ) from error

    def require_unchanged(self) -> None:
        """Raise RunFolderError where a file was written again: what is in memory tells nothing of it."""
        for path, state in self.states.items():
            try:
                unchanged = state_of(path) == state
            except FileNotFoundError:
                unchanged = False
            if not unchanged:
                raise RunFolderError(
                    f"{path}: was written again, moved or removed since it was opened; start jobs.view again"
                )

    def count(self, selection: Selection) -> int:
        """How many rows are selected."""
        with self._lock:  # no other search may take the place of this one
            where, given = self._where(selection)
            return int(self.run(f"SELECT count(*) FROM rows WHERE {where}", given)[0][0])

    def page(self, selection: Selection, size: int = PAGE_ROWS) -> list[int]:
        """The numbers of the rows on a page of the list."""
        with self._lock:
            where, given = self._where(selection)
            limit = {**given, "size": size, "skip": selection.page * size}
            order = self._order_sql(selection)
            sql = f"SELECT n FROM rows WHERE {where} ORDER BY {order} LIMIT $size OFFSET $skip"
            return [n for (n,) in self.run(sql, limit)]

    def neighbours(self, selection: Selection, n: int) -> tuple[int | None, int | None]:
        """The rows before and behind row n, among the selected ones in their order, whether n is one or not."""
        with self._lock:
            return self._neighbours(selection, n)

    def _neighbours(self, selection: Selection, n: int) -> tuple[int | None, int | None]:
        key, down = self._key(selection)
        ((value,),) = self.run(f"SELECT {key} FROM rows WHERE n = $n", {"n": n})
        where, given = self._where(selection)
        given = {**given, "n": n} | ({} if value is None else {"value": value})
        found: list[int | None] = []
        for forward in (False, True):
            later, after = (">" if forward is not down else "<"), (">" if forward else "<")
            if value is None:
                beyond = f"({key} IS NULL AND n {after} $n)" + ("" if forward else f" OR {key} IS NOT NULL")
            else:
                beyond = f"{key} {later} $value OR ({key} = $value AND n {after} $n)"
                beyond += f" OR {key} IS NULL" if forward else ""
            order = f"{key} {'DESC' if down is forward else 'ASC'} NULLS {'LAST' if forward else 'FIRST'}"
            order += f", n {'ASC' if forward else 'DESC'}"
            sql = f"SELECT n FROM rows WHERE ({where}) AND ({beyond}) ORDER BY {order} LIMIT 1"
            rows = self.run(sql, given)
            found.append(rows[0][0] if rows else None)
        return found[0], found[1]

    def cells(self, numbers: Sequence[int], short: int | None = None) -> list[Cells]:
        """The cells of rows, in this order. short: characters of each text at most, and of lists the first text alone.

        Raises InputError for a number that no row has.
        """
        if any(not 0 <= n < self.total for n in numbers):
            raise InputError(f"row {max(numbers)}: there are {self.total:,} rows, numbered from 0")
        names = [f.name for f in self.files.columns if short is None or _is_short(f.type) or f.name in self.shape.texts]
        taken = [quoted(name) if short is None else shortened(self.files.columns.field(name), short) for name in names]
        found: dict[int, Cells] = {}
        for part, path in enumerate(self.files.paths):
            first, behind = self.firsts[part], (*self.firsts, self.total)[part + 1]
            inside = [n - first for n in numbers if first <= n < behind]
            if inside:
                sql = f"SELECT {PLACE}, {', '.join(taken)} FROM {rows_of(self.files.stored)} "
                sql += f"WHERE {PLACE} IN (SELECT unnest($inside))"
                for place, *values in self.run(sql, {"path": literal(path), "inside": inside}):
                    found[first + place] = dict(zip(names, values, strict=True))
        return [found[n] for n in numbers]

    def where_with(self, sql: str, given: Mapping[str, object]) -> list[int]:
        """The numbers of rows for which a condition of ours holds, ascending."""
        return [n for (n,) in self.run(f"SELECT n FROM rows WHERE {sql} ORDER BY n", given)]

    def _where(self, selection: Selection) -> tuple[str, dict[str, object]]:
        """A condition and its values. Raises InputError for a filter that this run has not."""
        parts, given = ["true"], dict[str, object]()
        for flag in selection.flags:
            if flag not in self.counts:
                raise InputError(f"{flag.name}: rows of this run are never that; leave the filter out")
            parts.append(f"is_{flag.name}")
        for number, (name, value) in enumerate(selection.values.items()):
            if name not in self.values:
                raise InputError(
                    f"{name}: is no column of this run with few values; there are {', '.join(self.values)}"
                )
            columns = [name] if name != MODEL or MODEL in self.shape.names else ["model_a", "model_b"]
            parts.append("(" + " OR ".join(f"{_value(column)} = $value{number}" for column in columns) + ")")
            given[f"value{number}"] = value
        if selection.words:
            parts.append(f"n IN (SELECT n FROM {self._search(selection.words)})")
        return " AND ".join(parts), given

    def key_of(self, order: str) -> str:
        """The column of the table `rows` that an order goes by. Raises InputError for none."""
        if order not in self.orders:
            raise InputError(f"order={order[:80]}: must be one of {', '.join(self.orders)}")
        return _KEYS[order] if order in _KEYS else _number(order)

    def value_of(self, name: str) -> str:
        """The column of the table `rows` that holds a column with few values."""
        return _value(name)

    def _key(self, selection: Selection) -> tuple[str, bool]:
        """The column that orders rows, and whether from the largest down."""
        upwards = selection.order in (Order.place.name, Order.least_sure.name)
        return self.key_of(selection.order), upwards is selection.up

    def _order_sql(self, selection: Selection) -> str:
        key, down = self._key(selection)
        return f"{key} {'DESC' if down else 'ASC'} NULLS LAST, n"

    def _search(self, words: str) -> str:
        """The table of the numbers of rows in which words stand, upper or lower case."""
        with self._lock:
            if words in self._found:
                self._found.move_to_end(words)
                return self._found[words]
            if len(self._found) >= _SEARCHES:
                self.run(f"DROP TABLE {self._found.popitem(last=False)[1]}")
            table = f"found_{max((int(t.removeprefix('found_')) for t in self._found.values()), default=0) + 1}"
            self.run(f"CREATE TABLE {table} (n INTEGER)")
            given: dict[str, object] = {"words": re.escape(words)}
            for name, values in self.known.items():
                if held := [value for value in values if re.search(re.escape(words), value, re.IGNORECASE)]:
                    sql = f"INSERT INTO {table} SELECT n FROM rows WHERE {_value(name)} IN (SELECT unnest($held))"
                    self.run(sql, {"held": held})
            for part, path in enumerate(self.files.paths):
                # `error` at least
                texts = [as_text(self.files.columns, name) for name in self.shape.texts if name not in self.known]
                sql = f"INSERT INTO {table} SELECT {PLACE} + {self.firsts[part]} FROM "
                sql += f"{rows_of(self.files.stored)} WHERE {_any_holds(texts)}"
                self.run(sql, {**given, "path": literal(path)})
            for source, path, columns in self.inputs:
                texts = _texts_of_input(columns)
                sql = f"INSERT INTO {table} SELECT n FROM rows WHERE source = {source} AND row IN "
                sql += f"(SELECT row FROM {rows_of(columns)} WHERE {_any_holds(texts)})"
                self.run(sql, {**given, "path": literal(path)})
            self._found[words] = table
            return table


def open_index(files: RowFiles, *, beside: Sequence[Path] = (), memory: str = "300MB") -> RowIndex:
    """Read what filters and orders need. beside: other folders that may be read, such as that of another run.

    Raises RunFolderError for a file that is damaged.
    """
    spill = TemporaryDirectory(prefix="overnight-view-")
    database = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": memory,
            "threads": 2,
            "temp_directory": spill.name,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    real = [folder.resolve() for folder in (files.folder, *beside)]
    folders = [f"{name}/" for folder in real for name in (folder, literal(folder))]
    database.execute("SET allowed_directories = $folders", {"folders": folders})
    database.execute("SET enable_external_access = false")
    index = RowIndex(
        files=files, shape=shape_of(files.columns), database=database, spill=spill, states=dict(files.states)
    )
    names = _names_with_few_values(index)
    database.execute("SET preserve_insertion_order = false")  # rows have numbers, and are in place a quarter sooner
    database.execute("SET lock_configuration = true")
    _fill(index, names)
    _count(index, names)
    _find_inputs(index)
    return index


def _fill(index: RowIndex, names: Sequence[str]) -> None:
    shape = index.shape
    taken = {
        **{f"is_{flag.name}": ("BOOLEAN", f"coalesce({sql}, false)") for flag, sql in shape.flags.items()},
        "sureness": ("FLOAT", _finite(shape.sureness or "NULL::DOUBLE")),
        "length": ("BIGINT", shape.length),
        **{f"by_{name}": ("DOUBLE", _finite(quoted(name))) for name in shape.numbers},
        **{f"has_{name}": ("VARCHAR", quoted(name)) for name in names},
    }
    columns = [f"{name} {kind}" for name, kind in _OWN.items()]
    columns += [f"{quoted(name)} {kind}" for name, (kind, _) in taken.items()]
    index.run(f"CREATE TABLE rows ({', '.join(columns)})")
    sources = [file.source for file in index.files.manifest.inputs]
    for part, path in enumerate(index.files.paths):
        index.firsts.append(index.total)
        n = f"{PLACE} + {index.total}"
        of_input = ["list_position($sources, file) - 1", '"row"'] if "file" in index.files.columns.names else ["0", n]
        own = [n, str(part), PLACE, *of_input]
        values = ", ".join([*own, *(sql for _, sql in taken.values())])
        sql = f"INSERT INTO rows SELECT {values} FROM {rows_of(index.files.stored)}"
        index.run(sql, {"path": literal(path), **({"sources": sources} if of_input[0] != "0" else {})})
        index.total = index.run("SELECT count(*) FROM rows")[0][0]


def _count(index: RowIndex, names: Sequence[str]) -> None:
    flags = list(index.shape.flags)
    counted = ", ".join(f"count(*) FILTER (is_{flag.name})" for flag in flags)
    ((*counts, longest),) = index.run(f"SELECT {counted}, max(length) FROM rows")
    index.counts, index.has_lengths = dict(zip(flags, counts, strict=True)), bool(longest)
    for name in names:
        sql = f"SELECT {_value(name)}, count(*) FROM rows WHERE {_value(name)} <> '' "
        found = index.run(f"{sql} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_FEW_VALUES + 1}")
        if len(found) <= _FEW_VALUES:
            index.known[name] = [value for value, _ in found]
        few = 1 < len(found) <= _FEW_VALUES and index.total >= _ROWS_OF_A_VALUE * len(found)
        if few and not any(mark in text for mark in "\r\n" for text in (name, *index.known[name])):  # forms change them
            index.values[name] = dict(found)
    if not index.has_labels:
        index.counts.pop(Flag.wrong, None)
    if {"model_a", "model_b"} <= index.values.keys() and MODEL not in index.shape.names:
        sides = ", ".join(_value(side) for side in ("model_a", "model_b"))
        both: Counter[str] = Counter()
        for *pair, count in index.run(f"SELECT {sides}, count(*) FROM rows GROUP BY ALL"):
            both.update(dict.fromkeys((name for name in pair if name is not None), count))
        del index.values["model_a"], index.values["model_b"]
        index.values = {MODEL: dict(sorted(both.items())), **index.values}


def _names_with_few_values(index: RowIndex) -> list[str]:
    """The columns whose first rows have few and short values, so that all may be worth keeping."""
    names = index.shape.names
    if not names:
        return []
    sample = f"SELECT * FROM {rows_of(index.files.stored)} LIMIT {_SAMPLE_ROWS}"
    measured = ", ".join(f"count(DISTINCT {quoted(n)}), max(length({quoted(n)}))" for n in names)
    ((*found,),) = index.run(f"SELECT {measured} FROM ({sample})", {"path": literal(index.files.paths[0])})
    few = zip(names, found[::2], found[1::2], strict=True)
    return [name for name, count, longest in few if count <= _FEW_VALUES and (longest or 0) <= _SHORT][:_MOST_FILTERS]


def _find_inputs(index: RowIndex) -> None:
    """The files of the run folder that hold the input's texts, to be searched as well."""
    folder, missing = index.files.folder, False
    for source, file in enumerate(index.files.manifest.inputs):
        held = [file.parquet] if file.canonical else []
        held += [file.repeated_parquet] if file.repeated else []
        missing = missing or not file.canonical or file.remembered > 0
        for path in (folder / name for name in held):
            if not path.is_file():
                missing = True
                continue
            index.states[path] = state_of(path)
            columns = parquet.schema(path)
            if _texts_of_input(columns):
                index.inputs.append((source, path, columns))
    index.searched = "answers and carried columns" if missing else "input, answers and carried columns"


def _texts_of_input(columns: pa.Schema) -> list[str]:
    names = [f.name for f in columns if f.name not in _BESIDE_TEXTS and (is_text(f.type) or is_texts(f.type))]
    return [as_text(columns, name) for name in names]


def _any_holds(texts: Sequence[str]) -> str:
    return " OR ".join(f"regexp_matches({text}, $words, 'i')" for text in texts)


def _number(name: str) -> str:
    return quoted(f"by_{name}")


def _value(name: str) -> str:
    return quoted(f"has_{name}")


def _finite(sql: str) -> str:
    """SQL of a number that has a place in an order: null where it is NaN."""
    return f"CASE WHEN isnan(({sql})::DOUBLE) THEN NULL ELSE {sql} END"


def _is_short(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind) and not pa.types.is_binary(kind)
