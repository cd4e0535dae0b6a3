"""Mutating small files: bytes, lines, cells, JSON values and Parquet columns that real files have had wrong."""

import datetime
import decimal
import io
import json
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_ODD = [
    *(b"\xff", b"\xef\xbb\xbf", b"\x00", b"\x1a", b"\x1f\x8b", b"\xe2\x80\xa8", "判定".encode(), "\U0001f600".encode()),
    *(b'"', b"'", b'""', b",", b"\t", b";", b" ", b"\r", b"\n", b"\n\n", b"[[", b"[]", b"{", b"}", b"{}", b"\\ud800"),
    *(b"null", b"true", b"NaN", b"0", b"1", b"-1e999", b"9" * 400, b"[" * 1000, b'{"a":' * 300, b"1970-01-01"),
    *(b"id", b"error"),
]
_ODD_VALUES: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**400, -(2**63), 1e308, float("nan"), float("inf"), "", " ", "\0", "\ud800", "\x1b[2J"),
    *("null", "1", "x" * 5000, "<|im_end|>", "{slot}", "判定", [], {}, [[]], [None], [""], ["\ud800"], {"": None}),
    *({"role": "user"}, [{"type": "text", "text": 1}], {"\ud800": 1}, [[[[[[[[[[]]]]]]]]]]),
]
_ODD_CELLS: list[Any] = [
    *(None, True, 7, -(2**63), 0.1, float("nan"), "", " ", "x", b"\xff", [], ["a"], [None], {"a": None}, [[1]]),
    *(datetime.date(1, 1, 1), datetime.timedelta(days=9999), datetime.time(1), decimal.Decimal("1.50")),
    pa.scalar(2**50, pa.timestamp("s")),
]


def mutate(content: bytes, source: random.Random) -> bytes:
    """One to four mutations of a file: of its bytes, or, for half of those in JSON or Parquet, of its values."""
    of_values = _swap_column if content.startswith(b"PAR1") else _swap_value if content.startswith(b"{") else None
    mutations = [of_values] if of_values is not None and source.random() < 0.5 else _MUTATIONS
    for _ in range(source.randint(1, 4)):
        content = source.choice(mutations)(content, source)
    return content


def _flip(content: bytes, source: random.Random) -> bytes:
    changed = bytearray(content or b" ")
    changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


def _insert(content: bytes, source: random.Random) -> bytes:
    place = source.randint(0, len(content))
    return content[:place] + source.choice(_ODD) + content[place:]


def _cut(content: bytes, source: random.Random) -> bytes:
    first, last = sorted(source.randint(0, len(content)) for _ in range(2))
    return content[:first] + content[last:] if source.random() < 0.7 else content[:first]


def _repeat_line(content: bytes, source: random.Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    return b"".join([*lines, source.choice(lines)])


def _swap_cell(content: bytes, source: random.Random) -> bytes:
    separator = source.choice([mark for mark in (b",", b"\t", b":", b" ") if mark in content] or [b"\n"])
    cells = content.split(separator)
    cells[source.randrange(len(cells))] = source.choice([*_ODD, source.choice(cells)])
    return separator.join(cells)


def _swap_value(content: bytes, source: random.Random) -> bytes:
    """One JSON value of a line becomes another, goes, or gets a neighbour."""
    lines = content.splitlines()
    place = source.randrange(len(lines))
    try:
        node = row = json.loads(lines[place])
    except (ValueError, RecursionError):  # a case of a bad line
        return _flip(content, source)
    while isinstance(node, dict | list) and node:
        key = source.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if not isinstance(node[key], dict | list) or source.random() < 0.3:
            if source.random() < 0.2:
                del node[key]
            else:
                node[key] = source.choice([*_ODD_VALUES, *([node[key]] if not isinstance(node, dict) else [])])
            break
        node = node[key]
    lines[place] = json.dumps(row, ensure_ascii=source.random() < 0.5).encode(errors="surrogatepass")
    return b"\n".join(lines) + b"\n"


def _swap_column(content: bytes, source: random.Random) -> bytes:
    """One column becomes another one's, one of odd values, or one of another type; or a row goes."""
    table = pq.ParquetFile(io.BytesIO(content)).read()
    place = source.randrange(table.num_columns)
    name, column = table.column_names[place], table.column(place)
    what = source.choice(["value", "value", "neighbour", "type", "name", "rows"])
    if what == "value":
        column = pa.array([source.choice(_ODD_CELLS)] * table.num_rows)
    elif what == "neighbour":
        column = table.column(source.randrange(table.num_columns))
    elif what == "type" and column.type in (pa.string(), pa.string_view()):
        types = (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()), pa.binary(), pa.null())
        kind = source.choice(types)
        column = pa.nulls(len(column)) if kind == pa.null() else column.cast(pa.string()).cast(kind)
    elif what == "name":
        name = source.choice([*table.column_names, "error", "id", "", "row"])
    else:
        table = table.slice(source.randint(0, table.num_rows))
        column = table.column(place)
    changed = io.BytesIO()
    pq.write_table(table.set_column(place, name, column), changed)
    return changed.getvalue()


_MUTATIONS = [_flip, _insert, _insert, _cut, _repeat_line, _swap_cell, _swap_cell]
