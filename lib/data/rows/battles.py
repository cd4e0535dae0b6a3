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
from lib.data.joining.text_hashes import as_names, list_hashes
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
        "question": pa.string(),
        "label": pa.string(),
        "error": pa.string(),
    }
)
"""Canonical battles. row: number of the record in its file, from 0. Turns may be null. question: what was asked, by
the user's own name or as a hash of the prompt; null where the row can't be used. label: one of VERDICTS. error: why the
row can't be used, with the column's name. Null is what is unknown (or, in `error`, not there)."""

NAMES = ("id", "model_a", "model_b", "question")
WINNERS = ("winner_a", "winner_b", "winner_tie")
_TRUTH = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0}
_TAKEN = (*SCHEMA.names, "reference", "winner")
_UNEQUAL = "rows with unequal numbers of turns (kept as they are)"


class Turns(Enum):
    """How a text cell is read. A cell that is a list already (JSONL, Parquet) is used as such."""

    json = "json"
    text = "text"


@dataclass(frozen=True, kw_only=True)
class BattleColumns:
    """Names of the user's columns. The texts must be there; the others where they are named otherwise than here.

    id, prompt, response_a, response_b, model_a, model_b, winner_a, winner_b, winner_tie: your name for this column.
    question: tells the questions of votes apart; null: the prompts do. label: one column instead of the three one-hot
    winners, its values given by `data.label_values`. reference: a right answer, for prompts that show one.
    """

    id: str | None = "id"
    prompt: str = "prompt"
    response_a: str = "response_a"
    response_b: str = "response_b"
    model_a: str | None = "model_a"
    model_b: str | None = "model_b"
    question: str | None = None
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
    turn, as JSON; `text` cells are one turn as it stands. carry: columns of names, such as a category or a language,
    that the result keeps, and by which it is reported.
    """

    columns: BattleColumns = field(default_factory=BattleColumns)
    label_values: list[str] = field(default_factory=lambda: list(VERDICTS))
    turns: Turns = Turns.json
    carry: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        if taken := sorted(set(self.carry).intersection(_TAKEN)):
            own = f"{', '.join(taken)}: what rows and results call columns of their own"
            raise ConfigError(f"data.carry={self.carry}: {own}; leave it out, or rename the column")
        if len(set(self.carry)) != len(self.carry):
            raise ConfigError(f"data.carry={self.carry}: a column is there twice")
        if len(self.label_values) != 3 or len(set(self.label_values)) != 3:
            raise ConfigError(
                f"data.label_values={self.label_values}: must be three different values, for A, B and tie"
            )

    @property
    def schema(self) -> pa.Schema:
        """The columns of canonical battles."""
        known, models, label = list(SCHEMA), SCHEMA.get_field_index("model_a"), SCHEMA.get_field_index("label")
        reference = [] if self.columns.reference is None else [pa.field("reference", ITEMS)]
        carried = [pa.field(name, pa.string()) for name in self.carry]
        return pa.schema([*known[:models], *reference, *known[models:label], *carried, *known[label:]])

    @property
    def texts(self) -> Sequence[str]:
        """The texts of a battle: three, or four with a reference."""
        return BATTLE_TEXTS if self.columns.reference is None else (*BATTLE_TEXTS, "reference")

    @property
    def carried(self) -> Sequence[str]:
        """The columns that a result keeps."""
        return ("file", "row", "id", "model_a", "model_b", "question", *self.carry, "label")

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
        self.require_carried(names, file)
        return list(dict.fromkeys([*(name for name in roles.values() if name in names), *self.carry]))

    def require_carried(self, names: Sequence[str], file: str) -> None:
        """Raise InputError where a column is missing that the result is to keep."""
        if missing := [name for name in self.carry if names.count(name) != 1]:
            raise InputError(
                f"{file}: column {missing[0]!r} of data.carry is not there once; the columns are {list(names)}"
            )

    def canonical(self, cells: Cells, file: str, first_row: int, first_source_row: int = 0) -> Canonical:
        """Canonical form of consecutive rows of a file, of the columns that `present_columns` gave.

        first_row: the number of the first row in its file. A cell that can't be used is null in the table.
        """
        reader = CellReader(cells, file, first_row)
        for role in self.texts:
            name = getattr(self.columns, role)
            reader.values[role] = reader.read(name, cells[name], lambda cell: read_turns(cell, self.turns))
        for role in NAMES:
            name = getattr(self.columns, role)
            reader.values[role] = reader.read(name, cells.get(name), read_name)
        reader.values["label"] = _labels(cells, self, reader)
        return self.finished(reader, cells)

    def finished(self, reader: CellReader, cells: Cells) -> Canonical:
        """What was read, with what is carried, and a name of what was asked where there is no column of such names."""
        for name in self.carry:
            reader.values[name] = reader.read(name, cells[name], read_name)
        found = reader.table(self.schema, self.needed_id(cells))
        return found if self.columns.question is not None else found._replace(table=_by_prompt(found.table))

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
        for name in self.carry:
            table[name] = columns.names(found[name])
        rows = pa.table({**table, "error": nulls}, schema=self.schema)
        return rows if self.columns.question is not None else _by_prompt(rows)

    def _label_column(self, found: Mapping[str, pa.Array], nulls: pa.Array) -> pa.Array:
        if self.columns.label is not None:
            values = dict(zip(self.label_values, VERDICTS, strict=True))
            return columns.by_value([found[self.columns.label]], lambda cells: _label(cells[0], values))
        winners = [str(getattr(self.columns, role)) for role in WINNERS]
        there = all(name in found for name in winners)
        return columns.by_value([found[name] for name in winners], one_hot) if there else nulls

    def advice(self, bad: Collection[str]) -> str:
        """Also: cells may be plain text, and what is carried may be no names, which no row can do without."""
        carried = [name for name in self.carry if any(why.startswith(f"{name}: ") for why in bad)]
        if all(why.startswith(tuple(f"{name}: " for name in carried)) for why in bad):
            return f"Mend them, or leave {', '.join(carried)} out of data.carry"
        plain = any("malformed JSON" in why for why in bad)
        return super().advice(bad) + (" (or data.turns=text if cells are plain text)" if plain else "")

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


def _by_prompt(rows: pa.Table) -> pa.Table:
    """Canonical rows, whose questions are hashes of their prompts."""
    names = pc.if_else(
        rows["error"].combine_chunks().is_null(),
        as_names(list_hashes(rows["prompt"].combine_chunks())),
        pa.scalar(None, pa.string()),
    )
    return rows.set_column(rows.column_names.index("question"), "question", names)


def read_turns(cell: object, form: Turns) -> tuple[list[str | None], int]:
    """The turns of a cell, and the repairs made in them. Raises ValueError where there are none."""
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
    return reader.read("/".join(winners), triples, lambda triple: (one_hot(triple), 0))


def _label(cell: object, values: dict[str, str]) -> str | None:
    value, _ = read_name(cell)
    if value is None:
        return None
    if value not in values:
        raise ValueError(f"{value!r} is none of data.label_values={list(values)}")
    return values[value]


def one_hot(cells: tuple[Any, Any, Any]) -> str | None:
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
