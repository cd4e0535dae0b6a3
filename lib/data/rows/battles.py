"""Battles: two responses to one prompt, of a user's own columns or of ours; what can't be used has its reason."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lib.config import later
from lib.data.reading.cells import Cells
from lib.data.rows import columns
from lib.data.rows.base import ITEMS, PLACE, Canonical, CellReader, Odd, Rows, read_items, read_name
from lib.errors import ConfigError, InputError
from lib.types import BATTLE_TEXTS, VERDICTS

SCHEMA = pa.schema(
    {
        **PLACE,
        **dict.fromkeys(BATTLE_TEXTS, ITEMS),
        "model_a": pa.string(),
        "model_b": pa.string(),
        "label": pa.string(),
        "error": pa.string(),
    }
)
"""Canonical battles. row: number of the record in its file, from 0. Turns may be null. label: one of VERDICTS.
error: why the row can't be used, with the column's name. Null is what is unknown (or, in `error`, not there)."""

NAMES = ("id", "model_a", "model_b")
WINNERS = ("winner_a", "winner_b", "winner_tie")
_TRUTH = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0}
_UNEQUAL = "rows with unequal numbers of turns (kept as they are)"


class Turns(Enum):
    """How a text cell is read. A cell that is a list already (JSONL, Parquet) is used as such."""

    json = "json"
    text = "text"


@dataclass(frozen=True, kw_only=True)
class BattleColumns:
    """Names of the user's columns. The texts must be there; the others where they are named otherwise than here.

    label: one column instead of the three one-hot winners, its values given by `data.label_values`. reference: a right
    answer, for prompts that show one.
    """

    id: str | None = "id"
    prompt: str = "prompt"
    response_a: str = "response_a"
    response_b: str = "response_b"
    model_a: str | None = "model_a"
    model_b: str | None = "model_b"
    winner_a: str | None = "winner_model_a"
    winner_b: str | None = "winner_model_b"
    winner_tie: str | None = "winner_tie"
    label: str | None = None
    reference: str | None = later(default=None)

    def __post_init__(self) -> None:
        roles: dict[str, str] = {}
        for role in (*NAMES, *BATTLE_TEXTS, "reference", *(("label",) if self.label is not None else WINNERS)):
            name = getattr(self, role)
            if name is not None and roles.setdefault(name, role) != role:
                raise ConfigError(f"data.columns.{role}={name}: is the column of {roles[name]}, too; name another")


@dataclass(frozen=True, kw_only=True)
class BattlesConfig(Rows):
    """Battles, and what their columns are called.

    label_values: what A, B and tie are called in `columns.label`. turns: `json` cells hold a list of turns, or one
    turn, as JSON; `text` cells are one turn as it stands.
    """

    columns: BattleColumns = field(default_factory=BattleColumns)
    label_values: list[str] = field(default_factory=lambda: list(VERDICTS))
    turns: Turns = Turns.json

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.label_values) != 3 or len(set(self.label_values)) != 3:
            raise ConfigError(
                f"data.label_values={self.label_values}: must be three different values, for A, B and tie"
            )

    @property
    def schema(self) -> pa.Schema:
        """The columns of canonical battles."""
        place = SCHEMA.get_field_index("model_a")
        return SCHEMA if self.columns.reference is None else SCHEMA.insert(place, pa.field("reference", ITEMS))

    @property
    def texts(self) -> Sequence[str]:
        """The texts of a battle: three, or four with a reference."""
        return BATTLE_TEXTS if self.columns.reference is None else (*BATTLE_TEXTS, "reference")

    @property
    def carried(self) -> Sequence[str]:
        """The columns that a result keeps."""
        return ("file", "row", "id", "label")

    @property
    def id_column(self) -> str | None:
        """The user's column of ids."""
        return self.columns.id

    @property
    def without_ids(self) -> str | None:
        """Ids are not needed."""
        return "data.columns.id=null"

    def present_columns(self, names: Sequence[str], file: str) -> list[str]:
        """The columns of a file that are read.

        Raises InputError where one is missing that must be there: the texts, what was named in the config, and the
        winners that go with those that are there.
        """
        columns, usual = self.columns, BattleColumns()
        roles = {f.name: getattr(columns, f.name) for f in fields(columns)}
        if columns.label is not None:
            roles = {role: name for role, name in roles.items() if role not in WINNERS}
        some_winners = any(roles.get(role) in names for role in WINNERS)
        for role, name in roles.items():
            needed = role in BATTLE_TEXTS or (role in WINNERS and some_winners) or name != getattr(usual, role)
            if name is not None and names.count(name) != 1 and (needed or name in names):
                problem = "is there twice" if name in names else "is missing"
                hint = f"data.columns.{role}=NAME names the column to be used"
                raise InputError(f"{file}: column {name!r} {problem}; the columns are {list(names)}; {hint}")
        return list(dict.fromkeys(name for name in roles.values() if name in names))

    def canonical(self, cells: Cells, file: str, first_row: int, first_source_row: int = 0) -> Canonical:
        """Canonical form of consecutive rows of a file, of the columns that `present_columns` gave.

        first_row: the number of the first row in its file. A cell that can't be used is null in the table.
        """
        reader = CellReader(cells, file, first_row)
        for role in self.texts:
            name = getattr(self.columns, role)
            reader.values[role] = reader.read(name, cells[name], lambda cell: _turns(cell, self.turns))
        for role in NAMES:
            name = getattr(self.columns, role)
            reader.values[role] = reader.read(name, cells.get(name), read_name)
        reader.values["label"] = _labels(cells, self, reader)
        return reader.table(self.schema, self.needed_id(cells))

    @property
    def in_columns(self) -> bool:
        """Whole columns are read."""
        return True

    def columnar(self, cells: pa.RecordBatch, file: str, first_row: int) -> pa.Table:
        """The table that `canonical` makes of the same cells, where none is bad or repaired. Raises Odd."""
        found = dict(zip(cells.schema.names, cells.columns, strict=True))
        nulls = pa.nulls(cells.num_rows, pa.string())
        table = columns.place(file, first_row, cells.num_rows)
        for role in self.texts:
            read = columns.json_texts if self.turns is Turns.json else columns.texts
            table[role] = read(found[getattr(self.columns, role)])
            lengths = pc.list_value_length(table[role])
            if pc.min(lengths).as_py() == 0:
                raise Odd(pc.equal(lengths, 0))
        for role in NAMES:
            name = getattr(self.columns, role)
            table[role] = columns.names(found[name]) if name in found else nulls
        if self.needed_id(found) is not None and table["id"].null_count:
            raise Odd(table["id"].is_null())
        table["label"] = self._label_column(found, nulls)
        return pa.table({**table, "error": nulls}, schema=self.schema)

    def _label_column(self, found: Mapping[str, pa.Array], nulls: pa.Array) -> pa.Array:
        if self.columns.label is not None:
            values = dict(zip(self.label_values, VERDICTS, strict=True))
            return columns.by_value([found[self.columns.label]], lambda cells: _label(cells[0], values))
        winners = [str(getattr(self.columns, role)) for role in WINNERS]
        there = all(name in found for name in winners)
        return columns.by_value([found[name] for name in winners], _one_hot) if there else nulls

    def way_out(self, bad: Collection[str]) -> str:
        """Cells may be plain text."""
        return "data.turns=text if cells are plain text" if any("malformed JSON" in why for why in bad) else ""

    def tally(self, rows: pa.Table) -> Counter[str]:
        """Canonical rows by label, and those with unequal numbers of turns."""
        labels = Counter({count["values"]: count["counts"] for count in pc.value_counts(rows["label"]).to_pylist()})
        del labels[None]
        prompt, a, b = (pc.list_value_length(rows[name]) for name in BATTLE_TEXTS)
        unequal = pc.sum(pc.or_(pc.not_equal(prompt, a), pc.not_equal(prompt, b))).as_py() or 0
        return labels + Counter({_UNEQUAL: unequal})

    def describe(self, counts: Counter[str], rows: int) -> list[str]:
        """What the tally of so many rows says, in words."""
        a, b, tie = (counts[label] for label in VERDICTS)
        parts = [f"labels: {a:,} A, {b:,} B, {tie:,} tie" if a + b + tie else "no labels"]
        missing = rows - a - b - tie if a + b + tie else 0
        findings = {"rows without a label": missing, _UNEQUAL: counts[_UNEQUAL]}
        return parts + [f"{what}: {count:,}" for what, count in findings.items() if count]


def _turns(cell: object, form: Turns) -> tuple[list[str | None], int]:
    if isinstance(cell, str) and form is Turns.json:
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"malformed JSON ({error})") from error
    turns, repairs = read_items(cell)
    if not turns:
        raise ValueError("an empty list of turns")
    return turns, repairs


def _labels(cells: Cells, config: BattlesConfig, reader: CellReader) -> list[str | None]:
    columns = config.columns
    if columns.label is not None:
        values = dict(zip(config.label_values, VERDICTS, strict=True))
        return reader.read(columns.label, cells[columns.label], lambda cell: (_label(cell, values), 0))
    winners = [str(getattr(columns, role)) for role in WINNERS]
    if not all(name in cells for name in winners):
        return [None] * reader.rows
    triples = zip(*(cells[name] for name in winners), strict=True)
    return reader.read("/".join(winners), triples, lambda triple: (_one_hot(triple), 0))


def _label(cell: object, values: dict[str, str]) -> str | None:
    value, _ = read_name(cell)
    if value is None:
        return None
    if value not in values:
        raise ValueError(f"{value!r} is none of data.label_values={list(values)}")
    return values[value]


def _one_hot(cells: tuple[Any, Any, Any]) -> str | None:
    """Which of three is 1, the others being 0; None where all three are null (no label)."""
    if cells == (None, None, None):
        return None
    bits = [_TRUTH.get(str(cell).strip().lower()) for cell in cells]
    if None in bits:
        raise ValueError(f"{_shown(cells)}, not one 1 and two 0")
    if sum(filter(None, bits)) != 1:
        raise ValueError(f"{_shown(cells)}, which do not sum to one")
    return VERDICTS[bits.index(1)]


def _shown(cells: tuple[Any, Any, Any]) -> str:
    return "/".join("null" if cell is None else str(cell)[:20] for cell in cells)
