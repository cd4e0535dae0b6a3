"""Battles as two whole conversations: LMSYS's and LMArena's own sets, `conversation_a` and `conversation_b`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import pyarrow as pa

from lib.data.reading.cells import Cells
from lib.data.rows.base import Canonical, CellReader, kind, read_name
from lib.data.rows.battles import NAMES, SCHEMA, BattleColumns, BattlesConfig, Turns
from lib.data.rows.text_repair import repair
from lib.errors import ConfigError, InputError
from lib.types import BATTLE_TEXTS, VERDICTS, content_text

_SIDES = ("conversation_a", "conversation_b")
_WINNER = "winner"

Turn = tuple[str, str]
"""Who speaks, and what."""


@dataclass(frozen=True, kw_only=True)
class ConversationsConfig(BattlesConfig):
    """Battles whose columns conversation_a and conversation_b are lists of {role, content}, or such lists as JSON.

    Both have the same questions; a content is a text, or a list of parts of type text. winners: what A, B and tie are
    called in the column winner, which the result keeps as it is: there are two kinds of ties. Of columns only id,
    model_a, model_b and question count.
    """

    winners: dict[str, list[str]] = field(
        default_factory=lambda: {
            "A": ["model_a"],
            "B": ["model_b"],
            "tie": ["tie", "tie (bothbad)", "both_bad", "bothbad"],
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        values = [value for label in VERDICTS for value in self.winners.get(label, [])]
        if self.winners.keys() != set(VERDICTS) or len(values) != len(set(values)):
            raise ConfigError(f"data.winners={dict(self.winners)}: must name A, B and tie, each with values of its own")
        idle = [f"columns.{f.name}" for f in fields(self.columns) if f.name not in NAMES and self._is_set(f.name)]
        idle += ["label_values"] if self.label_values != list(VERDICTS) else []
        idle += ["turns"] if self.turns is not Turns.json else []
        if idle:
            raise ConfigError(f"data.{idle[0]}: has no effect on whole conversations; leave it out")

    def _is_set(self, column: str) -> bool:
        return bool(getattr(self.columns, column) != getattr(BattleColumns(), column))

    @property
    def schema(self) -> pa.Schema:
        """The columns of canonical battles, and the winner as it was written."""
        place = SCHEMA.get_field_index("label") + 1
        return SCHEMA.insert(place, pa.field(_WINNER, pa.string()))

    @property
    def carried(self) -> Sequence[str]:
        """The columns that a result keeps."""
        return (*super().carried, _WINNER)

    def present_columns(self, names: Sequence[str], file: str) -> list[str]:
        """The columns of a file that are read. Raises InputError without the conversations."""
        wanted = [*_SIDES, *((self.columns.id,) if self.columns.id is not None else ())]
        for name in wanted:
            if names.count(name) != 1:
                raise InputError(
                    f"{file}: column {name!r} is not there once; the columns are {list(names)}; battles in columns of "
                    "texts are data=arena"
                )
        others = [_WINNER, *(getattr(self.columns, role) for role in NAMES)]
        return list(dict.fromkeys([*wanted, *(name for name in others if name in names)]))

    @property
    def in_columns(self) -> bool:
        """Turns are objects, and rows are read one by one."""
        return False

    def canonical(self, cells: Cells, file: str, first_row: int, first_source_row: int = 0) -> Canonical:
        """Questions, and the answers of both sides, turn by turn."""
        reader = CellReader(cells, file, first_row)
        pairs = zip(*(cells[side] for side in _SIDES), strict=True)
        battles = reader.read("/".join(_SIDES), pairs, _battle)
        for place, role in enumerate(BATTLE_TEXTS):
            reader.values[role] = [None if battle is None else battle[place] for battle in battles]
        for role in NAMES:
            name = getattr(self.columns, role)
            reader.values[role] = reader.read(name, cells.get(name), read_name)
        labels = {value: label for label, values in self.winners.items() for value in values}
        winners = reader.read(_WINNER, cells.get(_WINNER), read_name)
        reader.values[_WINNER] = winners
        reader.values["label"] = reader.read(_WINNER, winners, lambda winner: (_label(winner, labels), 0))
        return self.named(reader.table(self.schema, self.needed_id(cells)))


def _label(winner: str | None, labels: dict[str, str]) -> str | None:
    if winner is not None and winner not in labels:
        raise ValueError(f"{winner!r} is none of data.winners={list(labels)}")
    return None if winner is None else labels[winner]


def _battle(pair: tuple[object, object]) -> tuple[tuple[list[str], list[str], list[str]], int]:
    """Questions, answers of A, answers of B; and the repairs made in them."""
    (a, repairs_a), (b, repairs_b) = (_turns(cell, side) for cell, side in zip(pair, _SIDES, strict=True))
    if a[0::2] != b[0::2]:
        raise ValueError("the two conversations have different questions")
    return (
        [text for _, text in a[0::2]],
        [text for _, text in a[1::2]],
        [t for _, t in b[1::2]],
    ), repairs_a + repairs_b


def _turns(cell: object, side: str) -> tuple[list[Turn], int]:
    """The turns of a conversation: user and assistant, one after the other."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{side}: malformed JSON ({error})") from error
    if not isinstance(cell, list) or not cell:
        raise ValueError(f"{side} is {'an empty list' if cell == [] else kind(cell)}, not a list of turns")
    turns: list[Turn] = []
    repairs = 0
    for number, turn in enumerate(cell):
        due = ("user", "assistant")[number % 2]
        role = turn.get("role") if isinstance(turn, dict) else None
        if role != due:
            raise ValueError(f"{side}, turn {number}: its role is {role!r} where {due!r} is due")
        text, repaired = repair(content_text(turn.get("content"), f"{side}, turn {number}"))
        turns.append((due, text))
        repairs += repaired
    if len(turns) % 2:
        raise ValueError(f"{side} ends with a question")
    return turns, repairs
