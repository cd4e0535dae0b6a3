"""What the columns of a result mean to the viewer: which flags, orders and filters it has."""

from collections.abc import Mapping
from collections.abc import Set as Names
from dataclasses import dataclass

import pyarrow as pa

from lib.data.cuts import CUT_COLUMNS
from lib.report.viewer.selection import Flag
from lib.report.viewer.sql import as_text, is_some_list, is_text, is_texts, quoted
from lib.types import PROBABILITIES, VERDICTS

TEXTS = ("text", "texts", "passages")
"""Columns of a result that hold what was written or found: texts, or lists of texts."""

ORDERS = ("ab", "ba")
_NO_ORDER = {"row", "seed", "start", "stop", *CUT_COLUMNS}
_NO_VALUES = {"id", "error", "text", "file"}
_MOST_NUMBERS, _MOST_VALUES = 16, 8


@dataclass(frozen=True, kw_only=True)
class Shape:
    """flags: SQL that is true of rows that have them. least_sure: SQL, larger for surer rows; "" where nothing tells.

    length: SQL. numbers: columns by which rows can be ordered. names: columns of texts, of which few values may be
    there. texts: columns that are searched.
    """

    flags: Mapping[Flag, str]
    sureness: str
    length: str
    numbers: tuple[str, ...]
    names: tuple[str, ...]
    texts: tuple[str, ...]


def shape_of(columns: pa.Schema) -> Shape:
    """What these columns of a result allow."""
    floats = {field.name for field in columns if pa.types.is_floating(field.type)}
    texts = {field.name for field in columns if is_text(field.type)}
    flags = {Flag.failed: "error IS NOT NULL"}
    if {"label", "verdict"} <= texts:
        flags[Flag.wrong] = "label <> verdict"
    orders = [[f"{order}_{name}" for name in PROBABILITIES] for order in ORDERS]
    if floats.issuperset(orders[0] + orders[1]):
        flags[Flag.flipped] = f"{_likeliest(orders[0])} <> {_likeliest(orders[1])}"
    cuts = [f.name for f in columns if f.name in CUT_COLUMNS and pa.types.is_integer(f.type)]
    if cuts:
        flags[Flag.cut] = " OR ".join(f"{quoted(name)} > 0" for name in cuts)
    if "finish_reason" in texts:
        flags[Flag.unfinished] = "finish_reason = 'length'"
    elif "finish_reason" in columns.names and is_texts(columns.field("finish_reason").type):
        flags[Flag.unfinished] = "list_contains(finish_reason, 'length')"
    elif _is_integer(columns, "unfinished"):
        flags[Flag.unfinished] = "unfinished > 0"
    numbers = [f.name for f in columns if _is_number(f.type) and f.name not in _NO_ORDER][:_MOST_NUMBERS]
    strings = [f.name for f in columns if is_text(f.type) and f.name not in _NO_VALUES]
    return Shape(
        flags={flag: flags[flag] for flag in Flag if flag in flags},
        sureness=_sureness(columns, floats),
        length=_length(columns),
        numbers=tuple(numbers),
        names=tuple(strings),
        texts=tuple(
            f.name for f in columns if (is_text(f.type) and f.name != "file") or (is_texts(f.type) and f.name in TEXTS)
        ),
    )


def _likeliest(names: list[str]) -> str:
    """SQL of the likeliest end; null where one of the probabilities is not known."""
    a, b, tie = map(quoted, names)
    unknown = " OR ".join(f"{p} IS NULL OR isnan({p})" for p in (a, b, tie))
    choice = f"CASE WHEN {a} >= {b} AND {a} >= {tie} THEN '{VERDICTS[0]}' WHEN {b} >= {tie} THEN '{VERDICTS[1]}'"
    return f"CASE WHEN {unknown} THEN NULL ELSE {choice} ELSE '{VERDICTS[2]}' END END"


def _sureness(columns: pa.Schema, floats: Names[str]) -> str:
    """How far the likeliest answer is from the next one."""
    if floats >= set(PROBABILITIES):
        a, b, tie = PROBABILITIES
        median = f"greatest(least({a}, {b}), least(greatest({a}, {b}), {tie}))"  # several times faster than list_sort
        return f"greatest({a}, {b}, {tie}) - {median}"
    logprobs = next((f.name for f in columns if f.name.startswith("logprobs") and _is_numbers(f.type)), None)
    if logprobs is not None:
        ordered = f"list_reverse_sort({quoted(logprobs)})"
        return f"exp({ordered}[1]) - exp({ordered}[2])"
    if "scores" in columns.names and "text" not in columns.names and _is_numbers(columns.field("scores").type):
        return "list_reverse_sort(scores)[1] - list_reverse_sort(scores)[2]"
    return ""


def _length(columns: pa.Schema) -> str:
    """Tokens read and written where they are known, or else characters."""
    counts = [f"coalesce({name}, 0)" for name in ("tokens", "new_tokens") if _is_integer(columns, name)]
    if counts:
        return " + ".join(counts)
    texts = [f"coalesce(length({as_text(columns, f.name)}), 0)" for f in columns if f.name in TEXTS]
    return " + ".join(texts) or "0"


def _is_integer(columns: pa.Schema, name: str) -> bool:
    return name in columns.names and pa.types.is_integer(columns.field(name).type)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_numbers(kind: pa.DataType) -> bool:
    return is_some_list(kind) and pa.types.is_floating(kind.value_type)
