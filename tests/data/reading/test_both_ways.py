"""In whole columns and cell by cell: the same rows, findings and refusals. What is regular is read in columns."""

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.rows.base import OnBadRow, Rows
from lib.data.rows.battles import BattleColumns, BattlesConfig, Turns
from lib.data.rows.table import TableConfig, open_table
from lib.errors import OvernightError
from tests.data.reading.both_ways import SMALL, both_ways, same, taken
from tests.fuzz.mutation import mutate

TEXTS = ["one", 'say "it"', "判定", "line\nbreak", "\U0001f600", "", "a, b", None]


def records(rows: int, source: random.Random) -> list[dict[str, Any]]:
    def turns() -> str:
        texts = [source.choice(TEXTS) for _ in range(source.choice([1, 1, 2, 3]))]
        return json.dumps(
            texts, ensure_ascii=source.random() < 0.5, separators=source.choice([(",", ":"), (", ", ": ")])
        )

    return [
        {
            "id": str(n),
            "model_a": source.choice(["m", "n"]),
            **{name: turns() for name in ("prompt", "response_a", "response_b")},
            **{f"winner_{name}": int(n % 3 == at) for at, name in enumerate(("model_a", "model_b", "tie"))},
            "instruction": f"text {n}",
            "extra": source.choice(["e", "f"]),
        }
        for n in range(rows)
    ]


def written(rows: list[dict[str, Any]], suffix: str) -> bytes:
    if suffix == ".parquet":
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=7)
        return file.getvalue()
    if suffix == ".jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def battles(path: Path, **values: Any) -> Rows:
    return BattlesConfig(path=str(path), **values)


def table(path: Path, **values: Any) -> Rows:
    return open_table(TableConfig(path=str(path), **values), ["instruction"])


def require_same(config: Rows, folder: Path, **sizes: int) -> int:
    """How many rows were read in columns."""
    in_columns, in_cells = both_ways(config, folder, **sizes)
    assert in_cells.in_columns == 0
    assert same(in_columns, in_cells), (in_columns, in_cells)
    return in_columns.in_columns


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("read", [battles, table])
def test_what_is_regular_is_read_in_columns(tmp_path: Path, suffix: str, read: Any) -> None:
    rows = records(300, random.Random(1))
    path = file(tmp_path, f"x{suffix}", written(rows, suffix))
    first = SMALL["KNOWN_ROWS"] if suffix == ".jsonl" else 0
    found = require_same(read(path), tmp_path, BLOCK_BYTES=20_000)
    assert found == 300 - first


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_odd_row_leaves_the_others_in_columns(tmp_path: Path, suffix: str) -> None:
    rows = records(300, random.Random(1))
    rows[100]["prompt"] = r'["half \ud83d"]'
    rows[200]["response_a"] = "plain"
    config = battles(file(tmp_path, f"x{suffix}", written(rows, suffix)), on_bad_row=OnBadRow.record)
    assert require_same(config, tmp_path, BLOCK_BYTES=20_000) > 280
    both = taken(config, tmp_path / "again", True)
    assert (both.said["repaired_cells"], both.said["bad_rows"]) == (1, 1)


def test_a_malformed_line_leaves_the_blocks_behind_it_in_columns(tmp_path: Path) -> None:
    lines = written(records(300, random.Random(1)), ".csv").splitlines(keepends=True)
    content = b"".join([*lines[:100], b'9,"m"x,\n', *lines[100:]])
    config = battles(file(tmp_path, "x.csv", content), on_bad_row=OnBadRow.record)
    assert 290 < require_same(config, tmp_path, BLOCK_BYTES=4000) <= 300  # of 301


ODD_CSV = [
    *(
        'a"b',
        '"a"b',
        ' "a"',
        '"a" ',
        '"a',
        'a"',
        '""',
        '""""',
        '"a""b"',
        '"""',
        '"a,b"',
        '"a\nb"',
        '"a\r\nb"',
        '"a\rb"',
    ),
    *(
        "a\rb",
        "a\0b",
        "a,b",
        "\n",
        "\r\n",
        " ",
        "a\n\n",
        "\ufeff",
        '"\n\n"',
        '"a\n2,b"',
        '"a\n2,b\n3,c"',
        "é",
        "x" * 1000,
    ),
    *('"' + "y\n" * 300 + '"', '"' + "1,2\n" * 300),
]


@pytest.mark.parametrize("cell", ODD_CSV)
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("size", [20, 1000])
def test_odd_cells_of_csv(tmp_path: Path, cell: str, suffix: str, size: int) -> None:
    mark = "\t" if suffix == ".tsv" else ","
    rows = [f"{n}{mark}text\n" for n in range(20)]
    for place, content in enumerate((f"5{mark}{cell}\n", f"{cell}{mark}5\n", f"5{mark}{cell}")):
        text = "".join([f"id{mark}instruction\n", *rows[:10], content, *(rows[10:] if place < 2 else [])])
        for values in ({"on_bad_row": OnBadRow.record}, {"limit": 10}, {"limit": 12}):
            folder = tmp_path / f"{place}-{'-'.join(values)}-{values.get('limit')}"
            folder.mkdir()
            require_same(table(file(folder, f"x{suffix}", text.encode()), **values), folder, BLOCK_BYTES=size)


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("content", ["判" * 200, "判" * 200 + "\udcff"])
def test_what_arrow_can_not_say(tmp_path: Path, content: str, before: int) -> None:
    row = ("a" * before + content).encode(errors="surrogateescape")
    text = b"id,instruction\n1,a\n" + row + b"," + row + b"," + row + b"\n2,b\n"
    require_same(table(file(tmp_path, "x.csv", text), on_bad_row=OnBadRow.record), tmp_path, BLOCK_BYTES=9999)
    text = b'{"id": "1", "instruction": "a"}\n{"id": "2", "instruction": "' + row + b'", "' + row + b'": "' + row
    require_same(table(file(tmp_path, "x.jsonl", text), on_bad_row=OnBadRow.record), tmp_path, KNOWN_ROWS=1)


@pytest.mark.parametrize("content", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b'"\xe5\x88"', b"\xf0\x9f\x98\x80"])
def test_bytes_that_are_not_utf8(tmp_path: Path, content: bytes) -> None:
    text = b"id,instruction,other\n1,a,b\n2," + content + b",c\n3,a," + content + b"\n4,d,e\n"
    require_same(table(file(tmp_path, "x.csv", text), on_bad_row=OnBadRow.record), tmp_path)
    lines = [b'{"id": %d, "instruction": "a", "other": "b"}\n' % n for n in range(9)]
    lines[5:5] = [line % content for line in (b'{"id": 10, "instruction": "%b"}\n', b'{"id": 11, "other": "%b"}\n')]
    require_same(table(file(tmp_path, "x.jsonl", b"".join(lines)), on_bad_row=OnBadRow.record), tmp_path)


ODD_JSON = [
    *(
        "1",
        "1.0",
        "1e400",
        "-0",
        "01",
        "1.",
        "9" * 30,
        "9" * 5000,
        "NaN",
        "-Infinity",
        "true",
        "null",
        "[]",
        "{}",
        '""',
    ),
    *('"2020-01-01"', '"2020-01-01T00:00:00Z"', '["a"]', '["a", 1]', '[["a"]]', r'"\ud83d"', r'"\ud83d\ude00"'),
    *(r'"\u0000"', r'"\x"', '"a\tb"', '"a\0"', '{"a": 1, "a": 2}', '[{"a": {"b": 1, "b": 1}}]', "[" * 600 + "]" * 600),
    *('"x"} {"id": 9, "instruction": "y"', '"x", "late": "y"', '"x", "id": 7', '"x"}]', '"x",', '{"a": 1}}\n{"id": {}'),
    *(
        '"x"}\n\n{"instruction": "y"',
        '"x"}\r\n{"instruction": "y"',
        '"x"}\n{}\n{"instruction": "y"',
        '"' + "x" * 999 + '"',
    ),
]


@pytest.mark.parametrize("value", ODD_JSON)
@pytest.mark.parametrize("key", ["instruction", "id", "extra"])
def test_odd_values_of_json(tmp_path: Path, value: str, key: str) -> None:
    def line(n: int, value: str | None = None) -> str:
        row = {"id": f'"{n}"', "instruction": '"text"', "extra": '"e"', "unread": "1"} | ({key: value} if value else {})
        return "{" + ", ".join(f'"{name}": {cell}' for name, cell in row.items()) + "}\n"

    for place, values in enumerate([{"on_bad_row": OnBadRow.record}, {"limit": 10}, {"carry": ["extra"]}]):
        folder = tmp_path / str(place)
        folder.mkdir()
        text = "".join([*map(line, range(10)), line(10, value), *map(line, range(11, 20))])
        require_same(table(file(folder, "x.jsonl", text.encode()), **values), folder)


@pytest.mark.parametrize(
    "value", [r'{"\ud800": 1}', "9" * 400, '[{"a": 1}]', "[[]]", "1.5", "true", "null", r'"\ud800"']
)
def test_odd_values_in_the_first_rows_of_json(tmp_path: Path, value: str) -> None:
    lines = [f'{{"id": {n}, "instruction": {value if n < 2 else chr(34) + "x" + chr(34)}}}\n' for n in range(20)]
    require_same(table(file(tmp_path, "x.jsonl", "".join(lines).encode()), on_bad_row=OnBadRow.record), tmp_path)


SMUGGLED = [
    [r'["x\"]', r'[\", "]', '["]'],
    ['["x]', '[", "]', '["]'],
    ['["a"],["b"]', '["a"', '"b"]'],
    ['["a"],\n["b"]', '["a"', '"b"]'],
    ['["a"]]}\n{"lists":[["b"]', '["c"]', '["d"]'],
    ['["a" , "b"]', '[ "a"]', '["a"] '],
    ['["]', '["a"]', '["b"]'],
    ['[""]', '["', '""]'],
    ['["a"b"]', '["]', '["a"]'],
    ['["a\\"]', '["b"]', '["c"]'],
    ['["a\nb"]', '["b"]', '["c"]'],
    ["[null]", '["a",null]', '["b"]'],
    ['"a"', "null", '["c"]'],
    ["[]", '["a"]', '["b"]'],
    ["[1]", '["a"]', '["b"]'],
]


@pytest.mark.parametrize("cells", SMUGGLED)
def test_cells_that_would_be_another_number_of_lists_together(tmp_path: Path, cells: list[str]) -> None:
    rows = [row | {"prompt": cell} for row, cell in zip(records(3, random.Random(1)), cells, strict=True)]
    path = file(tmp_path, "x.parquet", written(rows, ".parquet"))
    require_same(battles(path, on_bad_row=OnBadRow.record), tmp_path, BATCH_ROWS=100)
    require_same(battles(path, on_bad_row=OnBadRow.record, turns=Turns.text), tmp_path)


@pytest.mark.parametrize(
    "cells",
    [
        *(
            [1, None],
            [2**40, 1],
            [True, False],
            [1.0, 2.5],
            ["", "a"],
            [None, None],
            [b"a", b"b"],
            [["a"], ["b", None]],
        ),
        *([[], ["a"]], [[None], None], [{"a": "b"}, None]),
    ],
)
@pytest.mark.parametrize("column", ["id", "instruction", "extra", "prompt", "model_a", "winner_tie", "error"])
def test_types_of_parquet(tmp_path: Path, cells: list[Any], column: str) -> None:
    rows = [row | {column: cell} for row, cell in zip(records(2, random.Random(1)), cells, strict=True)]
    path = file(tmp_path, "x.parquet", written(rows, ".parquet"))
    require_same(battles(path, on_bad_row=OnBadRow.record), tmp_path)
    require_same(battles(path, columns=BattleColumns(label="winner_tie"), on_bad_row=OnBadRow.record), tmp_path)
    require_same(table(path, on_bad_row=OnBadRow.record, carry=["extra"]), tmp_path)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
def test_strings_of_other_types_are_read_in_columns(tmp_path: Path, kind: pa.DataType) -> None:
    found = pa.Table.from_pylist(records(30, random.Random(1)))
    found = found.set_column(found.column_names.index("prompt"), "prompt", found["prompt"].cast(kind))
    pq.write_table(found, tmp_path / "x.parquet")
    assert require_same(battles(tmp_path / "x.parquet"), tmp_path) == 30


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_mutated_files(tmp_path: Path, suffix: str, seed: int) -> None:
    source = random.Random(f"{seed}{suffix}")
    content = mutate(written(records(source.randint(1, 30), source), suffix), source)
    path = file(tmp_path, f"x{suffix}", content)
    values = {
        "on_bad_row": source.choice(list(OnBadRow)),
        **source.choice([{}, {"limit": 9}, {"fold": 1}, {"sample": 5}]),
    }
    sizes = {"BLOCK_BYTES": source.choice([30, 400, 4000]), "KNOWN_ROWS": source.choice([1, 8])}
    for number, read in enumerate((battles, table)):
        try:
            config = read(path, **values)
        except OvernightError:
            continue  # refused before any row is read
        require_same(config, tmp_path / str(number), **sizes)
