"""Votes: which of two models won, by question, of a user's own columns; what can't be used has its reason."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.config import transient
from lib.data.joining.keys import content_keys
from lib.data.reading.cells import Cells
from lib.data.rows import columns
from lib.data.rows.base import (
    ITEMS,
    PLACE,
    Canonical,
    CellReader,
    Odd,
    Rows,
    RowsConfig,
    kind,
    number_text,
    read_name,
)
from lib.data.rows.battles import WINNERS, Turns, one_hot, read_turns
from lib.data.rows.style_counts import STYLE, style_counts
from lib.data.rows.text_repair import repair
from lib.errors import ConfigError, InputError
from lib.types import VERDICTS

BOTH_BAD = "both_bad"
"""A tie between answers of which neither is good."""

OUTCOMES = (*VERDICTS, BOTH_BAD)
_MODELS = ("model_a", "model_b")
_RESPONSES = ("response_a", "response_b")


@dataclass(frozen=True, kw_only=True)
class VoteColumns:
    """Names of the user's columns.

    model_a, model_b, winner, winner_a, winner_b, winner_tie, response_a, response_b: your name for this column.

    The models must be there, and the winner: in one column or, without it, one-hot in
    three. question: tells what votes were about; votes about one question are not independent of each other. weight:
    how much a vote counts, 1 without it. The responses are read where their style counts. Question and weight are read
    where they are there, and must be where they are named otherwise than here; null does without."""

    model_a: str = "model_a"
    model_b: str = "model_b"
    winner: str | None = "winner"
    winner_a: str = "winner_model_a"
    winner_b: str = "winner_model_b"
    winner_tie: str = "winner_tie"
    question: str | None = "question"
    weight: str | None = "weight"
    response_a: str = "response_a"
    response_b: str = "response_b"


@dataclass(frozen=True, kw_only=True)
class VotesConfig(RowsConfig):
    """Votes, and what their columns are called. path: "" where none are read.

    winners: what A, B, tie and both_bad are called in the column winner, whatever the case of the letters. turns: how a
    response is written: `text` as it stands, `json` as a list of turns.
    """

    path: str = transient(default="")
    columns: VoteColumns = field(default_factory=VoteColumns)
    winners: dict[str, list[str]] = field(
        default_factory=lambda: {
            "A": ["A", "model_a"],
            "B": ["B", "model_b"],
            "tie": ["tie", "draw"],
            "both_bad": ["both_bad", "bothbad", "both bad", "tie (bothbad)"],
        }
    )
    turns: Turns = Turns.text

    def __post_init__(self) -> None:
        super().__post_init__()
        words = [word.casefold() for words in self.winners.values() for word in words]
        if self.winners.keys() != set(OUTCOMES) or len(words) != len(set(words)):
            raise ConfigError(
                f"data.winners={dict(self.winners)}: must name {', '.join(OUTCOMES)}, each with values of its own"
            )


@dataclass(frozen=True, kw_only=True)
class VoteRows(VotesConfig, Rows):
    """Votes as they are read. category: a column that is read as well. styled: whether the responses are."""

    category: str | None = None
    styled: bool = False

    @property
    def schema(self) -> pa.Schema:
        """The columns of canonical votes. outcome: one of OUTCOMES; question: its hash, null where it is not known.

        `length_a` and so on are the counts of STYLE in both responses.
        """
        counts = {f"{name}_{side}": pa.int64() for side in "ab" for name in STYLE} if self.styled else {}
        own = {"model_a": pa.string(), "model_b": pa.string(), "outcome": pa.string(), "question": pa.int64()}
        more = {"category": pa.string()} if self.category is not None else {}
        return pa.schema({**PLACE, **own, "weight": pa.float64(), **more, **counts, "error": pa.string()})

    @property
    def carried(self) -> Sequence[str]:
        """All: there is no result."""
        return tuple(self.schema.names[:-1])

    @property
    def id_column(self) -> None:
        """Votes need no ids."""
        return

    @property
    def in_columns(self) -> bool:
        """Whole columns are read."""
        return True

    def present_columns(self, names: Sequence[str], file: str) -> list[str]:
        """The columns of a file that are read. Raises InputError where one is missing that must be there."""
        wanted, usual = self.columns, VoteColumns()
        one_column = wanted.winner is not None and (wanted.winner in names or wanted.winner != usual.winner)
        roles = [*_MODELS, *(("winner",) if one_column else WINNERS), *(_RESPONSES if self.styled else ())]
        found = {f"data.columns.{role}": getattr(wanted, role) for role in roles}
        for role in ("question", "weight"):
            name = getattr(wanted, role)
            if name is not None and (name in names or name != getattr(usual, role)):
                found[f"data.columns.{role}"] = name
        if self.category is not None:
            found["leaderboard.category"] = self.category
        for key, name in found.items():
            if name not in names:
                winner = f", nor {wanted.winner!r}" if name == wanted.winner_a and wanted.winner is not None else ""
                raise InputError(
                    f"{file}: column {name!r} is missing{winner}; the columns are {list(names)}; {key}=NAME names the "
                    "column to be used"
                )
        return list(dict.fromkeys(found.values()))

    def canonical(self, cells: Cells, file: str, first_row: int, first_source_row: int = 0) -> Canonical:
        """Canonical form of consecutive rows of a file, cell by cell."""
        names, reader = self.columns, CellReader(cells, file, first_row)
        for role in _MODELS:
            reader.values[role] = reader.read(getattr(names, role), cells[getattr(names, role)], _model)
        pairs = list(zip(reader.values["model_a"], reader.values["model_b"], strict=True))
        reader.read(f"{names.model_a}/{names.model_b}", pairs, _require_two)
        if names.winner in cells:
            outcomes = reader.read(names.winner, cells[names.winner], lambda cell: (self._outcome(cell), 0))
        else:
            triples = zip(*(cells[name] for name in self._one_hot), strict=True)
            outcomes = reader.read("/".join(self._one_hot), triples, lambda triple: (_one_of_three(triple), 0))
        reader.values["outcome"] = outcomes
        weights = cells.get(names.weight or "")
        read = [1.0] * reader.rows if weights is None else reader.read(str(names.weight), weights, _weight)
        reader.values["weight"] = read
        asked = reader.read(names.question or "", cells.get(names.question or ""), _word)
        reader.values["question"] = question_hashes(pa.array(asked, pa.string()))
        if self.category is not None:
            reader.values["category"] = reader.read(self.category, cells[self.category], _word)
        for side, role in zip("ab", _RESPONSES if self.styled else (), strict=False):
            name = getattr(names, role)
            texts = reader.read(name, cells[name], lambda cell: read_turns(cell, self.turns))
            reader.values |= {f"{of}_{side}": n for of, n in style_counts(pa.array(texts, ITEMS)).items()}
        reader.values["id"] = [None] * reader.rows
        return reader.table(self.schema)

    def columnar(self, cells: pa.RecordBatch, file: str, first_row: int) -> pa.Table:
        """The table that `canonical` makes of the same cells, where none is bad or repaired. Raises Odd."""
        found = dict(zip(cells.schema.names, cells.columns, strict=True))
        names, n = self.columns, cells.num_rows
        table = columns.place(file, first_row, n)
        table["id"] = table["error"] = pa.nulls(n, pa.string())
        for role in _MODELS:
            table[role] = columns.names(found[getattr(names, role)])
        both = pc.fill_null(pc.equal(*(table[role] for role in _MODELS)), True)
        if pc.any(both).as_py():
            raise Odd(both)
        if names.winner in found:
            table["outcome"] = columns.by_value([found[names.winner]], lambda row: self._outcome(row[0]))
        else:
            table["outcome"] = columns.by_value([found[name] for name in self._one_hot], _one_of_three)
        table["weight"] = _weights(found[names.weight]) if names.weight in found else pa.repeat(1.0, n)
        asked = found.get(names.question)
        table["question"] = pa.nulls(n, pa.int64()) if asked is None else question_hashes(columns.plain_texts(asked))
        if self.category is not None:
            table["category"] = columns.plain_texts(found[self.category])
        for side, role in zip("ab", _RESPONSES if self.styled else (), strict=False):
            read = columns.json_texts if self.turns is Turns.json else columns.texts
            texts = read(found[getattr(names, role)])
            table |= {f"{of}_{side}": count for of, count in style_counts(texts).items()}
        return pa.table(table).select(self.schema.names).cast(self.schema)

    @property
    def _one_hot(self) -> list[str]:
        return [getattr(self.columns, role) for role in WINNERS]

    def _outcome(self, cell: object) -> str:
        word, _ = read_name(cell)
        if word is None:
            raise ValueError("null (or an empty cell), where a winner must be")
        for outcome, words in self.winners.items():
            if word.casefold() in (known.casefold() for known in words):
                return outcome
        known = ", ".join(f"{outcome}: {'/'.join(words)}" for outcome, words in self.winners.items())
        way_out = f"data.winners.A=[{word}] would make it a win of A"
        raise ValueError(f"{word!r} is none of data.winners ({known}); {way_out}")


def open_votes(config: VotesConfig, *, category: str | None, styled: bool) -> VoteRows:
    """The rows of votes, with what else is read of them."""
    kept = {f.name: getattr(config, f.name) for f in fields(VotesConfig)}
    return VoteRows(**kept, category=category, styled=styled)


def question_hashes(questions: pa.Array) -> pa.Array:
    """Names of questions (strings, [n]) as int64, null where they are null."""
    encoded = questions.dictionary_encode()
    keys = content_keys(pa.table({"question": encoded.dictionary}), ["question"]).to_pylist()
    numbers = np.array([int.from_bytes(key[:8], "little", signed=True) for key in keys], np.int64)
    return pa.array(numbers).take(encoded.indices)


def _model(cell: object) -> tuple[str, int]:
    name, repairs = read_name(cell)
    if name is None:
        raise ValueError("null (or an empty cell), where the name of a model must be")
    return name, repairs


def _require_two(pair: Any) -> tuple[None, int]:
    if pair[0] is not None and pair[0] == pair[1]:
        raise ValueError(f"{pair[0]!r} on both sides: a vote is between two models")
    return None, 0


def _one_of_three(cells: Any) -> str:
    outcome = one_hot(cells)
    if outcome is None:
        raise ValueError("null in all three, where a winner must be")
    return outcome


def _weight(cell: object) -> tuple[float, int]:
    try:
        if isinstance(cell, bool) or cell is None or "_" in str(cell):
            raise ValueError
        weight = float(str(cell))
    except ValueError:
        what = "null (or an empty cell)" if cell is None else repr(cell) if isinstance(cell, str) else kind(cell)
        raise ValueError(f"{what}, where a weight must be") from None
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"{weight:g}: a weight must be a finite number that is not negative")
    return weight, 0


def _weights(column: pa.Array) -> pa.Array:
    """Weights; what is none, or can't be read as one, is odd."""
    if not pa.types.is_floating(column.type):
        column = columns.names(column)
    weights = column.cast(pa.float64())
    bad = pc.fill_null(pc.invert(pc.and_(pc.is_finite(weights), pc.greater_equal(weights, 0.0))), True)
    if pc.any(bad).as_py():
        raise Odd(bad)
    return weights


def _word(cell: object) -> tuple[str | None, int]:
    """A text as it stands; any other value as JSON, whole numbers without a point."""
    if cell is None or cell != cell:
        return None, 0
    text = number_text(cell)
    return repair(text if isinstance(text, str) else json.dumps(cell, ensure_ascii=False, default=str))
