"""Battles: two responses to one prompt, of a user's own columns or of ours."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import Enum

import pyarrow as pa

from lib.data.rows.base import ITEMS, PLACE, RowsConfig
from lib.errors import ConfigError, InputError

SCHEMA = pa.schema(
    {
        **PLACE,
        "prompt": ITEMS,
        "response_a": ITEMS,
        "response_b": ITEMS,
        "model_a": pa.string(),
        "model_b": pa.string(),
        "label": pa.int8(),
        "error": pa.string(),
    }
)
"""Canonical battles. row: number of the record in its file, from 0. Turns may be null. label: 0 A, 1 B, 2 tie.
error: why the row can't be used, with the column's name. Null is what is unknown (or, in `error`, not there)."""

TEXTS = ("prompt", "response_a", "response_b")
NAMES = ("id", "model_a", "model_b")
WINNERS = ("winner_a", "winner_b", "winner_tie")


class Turns(Enum):
    """How a text cell is read. A cell that is a list already (JSONL, Parquet) is used as such."""

    json = "json"
    text = "text"


@dataclass(frozen=True, kw_only=True)
class BattleColumns:
    """Names of the user's columns. The texts must be there; the others where they are named otherwise than here.

    label: one column instead of the three one-hot winners, its values given by `data.label_values`.
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


@dataclass(frozen=True, kw_only=True)
class BattlesConfig(RowsConfig):
    """Battles, and what their columns are called.

    label_values: what A, B and tie are called in `columns.label`. turns: `json` cells hold a list of turns, or one
    turn, as JSON; `text` cells are one turn as it stands.
    """

    columns: BattleColumns = field(default_factory=BattleColumns)
    label_values: list[str] = field(default_factory=lambda: ["A", "B", "tie"])
    turns: Turns = Turns.json

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.label_values) != 3 or len(set(self.label_values)) != 3:
            raise ConfigError(
                f"data.label_values={self.label_values}: must be three different values, for A, B and tie"
            )


def present_columns(names: Sequence[str], config: BattlesConfig, file: str) -> list[str]:
    """The columns of a file that are read.

    Raises InputError where one is missing that must be there: the texts, what was named in the config, and the
    winners that go with those that are there.
    """
    columns, usual = config.columns, BattleColumns()
    roles = {f.name: getattr(columns, f.name) for f in fields(columns)}
    if columns.label is not None:
        roles = {role: name for role, name in roles.items() if role not in WINNERS}
    some_winners = any(roles.get(role) in names for role in WINNERS)
    for role, name in roles.items():
        needed = role in TEXTS or (role in WINNERS and some_winners) or name != getattr(usual, role)
        if name is not None and names.count(name) != 1 and (needed or name in names):
            problem = "is there twice" if name in names else "is missing"
            hint = f"data.columns.{role}=NAME names the column to be used"
            raise InputError(f"{file}: column {name!r} {problem}; the columns are {list(names)}; {hint}")
    return list(dict.fromkeys(name for name in roles.values() if name in names))
