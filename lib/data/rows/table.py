"""Tables of texts: the fields that a job reads, of a user's own columns, and columns that its result keeps."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from lib.config import transient
from lib.data.reading.arrow_types import settle
from lib.data.reading.cells import Cells
from lib.data.reading.json_lines import KNOWN_ROWS
from lib.data.reading.parquet_source import values
from lib.data.reading.readers import batches, column_names, column_types, with_rows
from lib.data.reading.sources import FileFormat
from lib.data.rows import columns
from lib.data.rows.base import (
    ITEMS,
    PLACE,
    Canonical,
    CellReader,
    Odd,
    Rows,
    RowsConfig,
    end,
    number_text,
    read_items,
    read_name,
)
from lib.data.rows.text_repair import repair
from lib.errors import ConfigError, InputError
from lib.images import image_column, read_image, read_reference
from lib.types import slot_column


@dataclass(frozen=True, kw_only=True)
class TableConfig(RowsConfig):
    """A table of texts.

    columns: field -> column, for the fields that the job reads and that are called otherwise in the table. A cell is a
    text or a list of texts. carry: columns that the result keeps as they are. id: the column of ids. failed: a column
    that says why a row failed in an earlier job; such a row is a bad row.
    """

    id: str | None = "id"
    columns: dict[str, str] = field(default_factory=dict)
    carry: list[str] = field(default_factory=list)
    failed: str | None = "error"

    def __post_init__(self) -> None:
        super().__post_init__()
        if taken := sorted({*PLACE, "error"}.intersection(self.carry)):
            raise ConfigError(f"data.carry={self.carry}: {', '.join(taken)} is in every result anyway; leave it out")
        if len(set(self.carry)) != len(self.carry):
            raise ConfigError(f"data.carry={self.carry}: a column is there twice")

    def column(self, name: str) -> str:
        """What a field's column is called."""
        return self.columns.get(name, name)


@dataclass(frozen=True, kw_only=True)
class TableRows(TableConfig, Rows):
    """A table of which certain fields are read, and other columns as they are.

    images: fields whose cells are images: data: URLs, or files below the table's folder. beside: columns that the task
    looks at, where they are there; results don't keep them. absent: those of them that no file has. types: of these and
    of the carried columns.
    """

    fields: tuple[str, ...] = transient(default=())  # the task's own identity has them
    images: tuple[str, ...] = transient(default=())
    beside: tuple[str, ...] = transient(default=())
    absent: tuple[str, ...] = transient(default=())
    types: Mapping[str, pa.DataType] = transient(default_factory=dict)

    @property
    def plain(self) -> list[str]:
        """Columns that are read as they are."""
        return list(dict.fromkeys([*self.carry, *self.beside]))

    @property
    def as_arrow(self) -> Collection[str]:
        """Columns that are read as they are, but texts, which may need repair."""
        return [name for name in self.plain if not _is_text(self.types[name])]

    @property
    def schema(self) -> pa.Schema:
        """The columns of canonical rows: each field as a list of texts, the others in their own type."""
        read = {slot_column(name): ITEMS for name in self.fields} | {image_column(name): ITEMS for name in self.images}
        return pa.schema({**PLACE, **read, **{name: self.types[name] for name in self.plain}, "error": pa.string()})

    @property
    def text_columns(self) -> list[str]:
        """Those of the fields: a list in another column is not for a prompt."""
        return [slot_column(name) for name in self.fields]

    @property
    def content(self) -> Sequence[str]:
        """Texts and images."""
        return [*self.text_columns, *(image_column(name) for name in self.images)]

    @property
    def shows_files(self) -> bool:
        """Where there are images."""
        return bool(self.images)

    def shown_files(self) -> Iterator[tuple[str, Path]]:
        """What the cells of images name, in tables that lie in a folder here."""
        wanted = [self.column(name) for name in self.images]
        for source in with_rows(self.sources(), self.dialect):
            names = [name for name in wanted if name in column_names(source, self.dialect)]
            for cells in batches(source, names, self.dialect) if names and _folder(source.url) else ():
                found = (text for name in names for cell in cells[name] for text in _references(cell))
                yield from ((text, Path(source.url).parent) for text in found if not text.startswith("data:"))

    @property
    def alone(self) -> bool:
        """Not where the task looks at other columns."""
        return not self.beside

    @property
    def carried(self) -> Sequence[str]:
        """The columns that a result keeps."""
        return (*PLACE, *self.carry)

    @property
    def id_column(self) -> str | None:
        """The user's column of ids."""
        return self.id

    @property
    def without_ids(self) -> str | None:
        """Ids are not needed."""
        return "data.id=null"

    def present_columns(self, names: Sequence[str], file: str) -> list[str]:
        """The columns of a file that are read.

        Raises InputError where one is missing that must be there: a field, one to carry, and what the config names.
        """
        roles = {f"++data.columns.{name}": self.column(name) for name in (*self.fields, *self.images)}
        usual = TableConfig(path=self.path)
        for role in ("id", "failed"):
            if getattr(self, role) != getattr(usual, role) and getattr(self, role) is not None:
                roles[f"data.{role}"] = getattr(self, role)
        for name in (*self.fields, *self.images):
            if self.column(name) == self.failed and self.failed in names:
                raise InputError(
                    f"{file}: column {self.failed!r} is read as the field {name}, but also as the reason why a row "
                    "failed before; set data.failed=null if it is none"
                )
        if late := [name for name in self.absent if name in names]:
            raise InputError(f"{file}: column {late[0]!r} must be in the first {KNOWN_ROWS:,} rows to be read")
        for key, name in [*roles.items(), *(("data.carry", name) for name in self.carry)]:
            if names.count(name) != 1:
                problem = "is there twice" if name in names else "is missing"
                hint = f"{key}=NAME names the column to be used"
                raise InputError(f"{file}: column {name!r} {problem}; the columns are {list(names)}; {hint}")
        read = [self.column(name) for name in (*self.fields, *self.images)]
        wanted = [self.id, *read, *self.plain, self.failed]
        found = [name for name in dict.fromkeys(wanted) if name is not None and name in names]
        if not found:
            raise ConfigError(
                f"{file}: no column of it is read, since the prompt has no slots and there are no ids; put a column's "
                f"name into the prompt as a slot, such as {{{names[0]}}}, or name the column of ids with data.id=NAME; "
                f"the columns are {list(names)}"
            )
        return found

    def advice(self, bad: Collection[str]) -> str:
        """Also: a column may be called as the reasons of an earlier job are, and be none."""
        told = any(why.startswith(f"{self.failed}: ") for why in bad)
        way_out = (
            f" (or data.failed=null if column {self.failed!r} doesn't say why a row failed before)" if told else ""
        )
        return super().advice(bad) + way_out

    def canonical(self, cells: Cells, file: str, first_row: int, first_source_row: int = 0) -> Canonical:
        """Canonical form of consecutive rows of a file, of the columns that `present_columns` gave.

        first_row: the number of the first row in its file. A cell that can't be used is null in the table.
        """
        reader = CellReader(cells, file, first_row)
        reader.values["id"] = reader.read(self.id or "id", _values(cells.get(self.id or "")), read_name)
        for name in self.fields:
            column = self.column(name)
            reader.values[slot_column(name)] = reader.read(column, _values(cells[column]), _read_items)
        for name in self.images:
            column, folder = self.column(name), _folder(file)
            found = reader.read(column, _values(cells[column]), partial(_read_images, folder=folder))
            reader.values[image_column(name)] = found
        for name in self.plain:
            if isinstance(cells[name], pa.Array) and name in self.as_arrow:
                reader.values[name] = settle(cells[name], self.types[name])
            else:
                reader.values[name] = reader.read(name, cells[name], _text)
        reader.read(self.failed or "", _values(cells.get(self.failed or "")), _not_failed)
        return reader.table(self.schema, self.needed_id(cells))

    @property
    def in_columns(self) -> bool:
        """Whole columns are read, but of images."""
        return not self.images

    def columnar(self, cells: pa.RecordBatch, file: str, first_row: int) -> pa.Table:
        """The table that `canonical` makes of the same cells, where none is bad or repaired. Raises Odd."""
        found = dict(zip(cells.schema.names, cells.columns, strict=True))
        nulls = pa.nulls(cells.num_rows, pa.string())
        table = columns.place(file, first_row, cells.num_rows)
        table["id"] = columns.names(found[self.id]) if self.id in found else nulls
        if self.needed_id(found) is not None and table["id"].null_count:
            raise Odd(table["id"].is_null())
        if self.failed in found and found[self.failed].null_count != cells.num_rows:
            raise Odd(found[self.failed].is_valid())
        for name in self.fields:
            table[slot_column(name)] = columns.texts(found[self.column(name)], numbers=True)
        for name in self.plain:
            as_is = name in self.as_arrow
            table[name] = settle(found[name], self.types[name]) if as_is else columns.plain_texts(found[name])
        return pa.table({**table, "error": nulls}, schema=self.schema)


def open_table(
    config: TableConfig, wanted: Sequence[str], beside: Sequence[str] = (), images: Sequence[str] = ()
) -> TableRows:
    """The rows of a table, of which the fields `wanted` are read, and the columns `beside` where all files have them.

    images: fields that are read as such. Raises ConfigError where the config names a field that is not wanted,
    InputError where there is no such table, or where its files hold a column in different types.
    """
    if unknown := sorted(config.columns.keys() - {*wanted, *images}):
        raise ConfigError(
            f"data.columns: this job reads no field {', '.join(unknown)}; it reads {', '.join([*wanted, *images])} "
            "(the slots of its prompt)"
        )
    sources = with_rows(config.sources(), config.dialect)
    texts = [source.format is FileFormat.TEXT for source in sources]
    if any(texts) and not all(texts):
        raise InputError(
            f"{sources[texts.index(True)].url} is a plain text beside tables such as "
            f"{sources[texts.index(False)].url}; give a glob such as folder/*.csv to choose among the files of a folder"
        )
    wanted_types = [*config.carry, *beside]
    found = [column_types(source, wanted_types, config.dialect, end(config)) for source in sources]
    types: dict[str, pa.DataType] = {}
    for source, kinds in zip(sources, found, strict=True):
        for name, kind in kinds.items():
            if types.setdefault(name, kind) != kind:
                raise InputError(f"{source.url}: column {name} is {kind}, but {types[name]} in the files before")
    there = tuple(name for name in beside if all(name in kinds for kinds in found))
    absent = tuple(name for name in beside if not any(name in kinds for kinds in found))
    kept = {f.name: getattr(config, f.name) for f in fields(TableConfig)}
    return TableRows(**kept, fields=tuple(wanted), images=tuple(images), beside=there, absent=absent, types=types)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _values(cells: Iterable[Any] | None) -> Iterable[Any] | None:
    return values(cells) if isinstance(cells, pa.Array) else cells


def _read_items(cell: object) -> tuple[list[str | None], int]:
    items = [number_text(item) for item in cell] if isinstance(cell, list) else number_text(cell)
    return read_items(None if cell != cell else items)


def _folder(url: str) -> Path | None:
    """The folder of a table's file; None where that is elsewhere."""
    return None if "://" in url else Path(url).parent


def _references(cell: object) -> list[str]:
    return [item for item in (cell if isinstance(cell, list) else [cell]) if isinstance(item, str)]


def _read_images(cell: object, folder: Path | None) -> tuple[list[str], int]:
    """A cell's images as data: URLs. folder: that paths start from."""
    items = cell if isinstance(cell, list) else [cell]
    texts = _references(cell)
    if not texts or len(texts) < len(items):
        raise ValueError("no image: must be a path, a data: URL, or a list of these")
    if folder is None and (named := [text for text in texts if not text.startswith("data:")]):
        raise ValueError(f"image {named[0]!r}: the table lies in no folder here; give data: URLs, or copy both here")
    read = [read_image(text) if folder is None else read_reference(text, folder) for text in texts]
    return [image.url for image in read], 0


def _text(cell: object) -> tuple[str | None, int]:
    if cell is None:
        return None, 0
    return repair(cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False))


def _not_failed(cell: object) -> tuple[None, int]:
    if cell is not None:
        raise ValueError(str(cell))
    return None, 0
