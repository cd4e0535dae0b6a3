import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.reading import parquet_source
from lib.data.reading.cells import BATCH_ROWS, BadLine, Unreadable
from lib.data.reading.parquet_source import parquet_cells
from lib.data.reading.readers import batches, column_names
from lib.data.reading.sources import resolve
from lib.errors import InputError

ROWS = {"a": ["1", "line\nbreak", 'quote " and , comma', None], "b": ["x", "日本語", "y", "z"]}
CSV = 'a,b\n1,x\n"line\nbreak",日本語\n"quote "" and , comma",y\n,z\n'.encode()
TSV = 'a\tb\n1\tx\n"line\nbreak"\t日本語\n"quote "" and , comma"\ty\n\tz\n'.encode()
JSONL = "\n".join(json.dumps(dict(zip("ab", row, strict=True))) for row in zip(*ROWS.values(), strict=True)).encode()


def compress(content: bytes, codec: str, path: Path) -> Path:
    with pa.CompressedOutputStream(str(path), codec) as file:
        file.write(content)
    return path


def read(path: Path | str) -> dict[str, list]:
    (source,) = resolve(str(path))
    names = column_names(source)
    parts = list(batches(source, names))
    return {name: [cell for part in parts for cell in part[name]] for name in names}


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.csv", CSV), ("x.CSV", CSV), ("x.tsv", TSV), ("x.jsonl", JSONL), ("x.v1.ndjson", JSONL)],
)
def test_text_formats(tmp_path: Path, name: str, content: bytes):
    assert read(write(tmp_path, name, content)) == ROWS
    assert read(write(tmp_path, name, b"\xef\xbb\xbf" + content)) == ROWS  # a byte order mark, as Excel writes it


@pytest.mark.parametrize(("suffix", "codec"), [(".gz", "gzip"), (".zst", "zstd")])
@pytest.mark.parametrize(("name", "content"), [("x.csv", CSV), ("x.jsonl", JSONL)])
def test_compressed(tmp_path: Path, name: str, content: bytes, suffix: str, codec: str):
    path = compress(content, codec, tmp_path / (name + suffix))
    assert read(path) == ROWS
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"x\.\w+\.\w+: cannot be read .*whole"):
        read(path)


def test_gzip_of_two_members(tmp_path: Path):
    first, second = JSONL[: JSONL.index(b"\n") + 1], JSONL[JSONL.index(b"\n") + 1 :]
    assert read(write(tmp_path, "x.jsonl.gz", gzip.compress(first) + gzip.compress(second))) == ROWS


def test_parquet(tmp_path: Path):
    pq.write_table(pa.table(ROWS), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet") == ROWS


def test_batches_keep_the_order_and_are_small(tmp_path: Path):
    rows = 3 * BATCH_ROWS + 1
    path = write(tmp_path, "x.csv", b"n\n" + b"".join(b"%d\n\n" % n for n in range(rows)))  # blank lines are no rows
    parts = list(batches(resolve(str(path))[0], ["n"]))
    assert [len(part["n"]) for part in parts] == [BATCH_ROWS] * 3 + [1]
    assert [int(cell) for part in parts for cell in part["n"]] == list(range(rows))


def test_cells_larger_than_the_csv_modules_default_limit(tmp_path: Path):
    assert read(write(tmp_path, "x.csv", b"a\n" + b"x" * 300_000 + b"\n")) == {"a": ["x" * 300_000]}


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 10), (3, 4), (2, 7), (9, 10), (5, 5)])
def test_a_range_of_parquet_rows(tmp_path: Path, start: int, stop: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet_source, "BATCH_ROWS", 2)
    pq.write_table(pa.table({"n": range(10)}), tmp_path / "x.parquet", row_group_size=4)
    parts = parquet_cells(resolve(str(tmp_path / "x.parquet"))[0], ["n"], start, stop)
    assert [cell for part in parts for cell in part["n"]] == list(range(start, stop))


def test_a_range_reads_only_its_row_groups(tmp_path: Path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"n": range(12)}), path, row_group_size=4, compression="none", use_dictionary=False)
    metadata = pq.read_metadata(path).row_group(0).column(0)
    content = bytearray(path.read_bytes())
    start = metadata.data_page_offset
    content[start : start + metadata.total_compressed_size] = b"\xff" * metadata.total_compressed_size
    path.write_bytes(content)
    (source,) = resolve(str(path))
    assert [cell for part in parquet_cells(source, ["n"], 5, 9) for cell in part["n"]] == [5, 6, 7, 8]
    with pytest.raises(InputError):
        list(parquet_cells(source, ["n"], 3, 5))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"", "is empty"),
        ("x.csv", b"\n\n", "is empty"),
        ("x.csv", b"a,b\n", "has no rows"),
        ("x.jsonl", b"", "is empty"),
        ("x.jsonl.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("x.parquet", b"", "cannot be read"),
        ("x.parquet", b"PAR1 nonsense PAR1", "cannot be read"),
        ("x.csv", b'a,"b"c\n1,2\n', "header: malformed CSV"),
        ("x.csv", b'a,b\n1,2\n3,"4\n5,6\n', r"row 1 \(ends in line 4\): malformed CSV .*quote"),
        ("x.csv", b'a,b\n1,2\n3,"4\n5,6",7\n', r"row 1 \(ends in line 4\): 3 cells where the header has 2.*quote"),
        ("x.jsonl", b"[1]\n[2]\n", "line 1: not a JSON object"),
        ("x.jsonl", b'{"a": "\xff"}\n', "line 1: not UTF-8"),
        ("x.jsonl", b"[" * 100_000, "line 1: malformed JSON"),
        ("x.csv.gz", b"a,b\n1,2\n", "cannot be read"),
        ("x.jsonl", gzip.compress(b'{"a": 1}\n', mtime=0), r"the file is compressed by gzip \(\.gz\)"),
        ("x.csv", b"PK\x03\x04\x14\0\x06\0", "the file is a ZIP archive, or a workbook of Excel"),
        ("x.csv", b"PAR1\x15\x04", "the file is Parquet"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, message: str):
    path = write(tmp_path, name, content)
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.csv", b"a,b\n1,2\n\n3\n4,5\n", "line 4: 1 cells where the header has 2"),
        ("x.csv", b"a,b\n1,2\n3,4,5\n4,5\n", "line 3: 3 cells where the header has 2"),
        ("x.csv", b'a,b\n1,2\n3,"4"x\n4,5\n', "line 3: malformed CSV"),
        ("x.csv", b'a,b\n1,2\n"3\n\n"\n4,5\n', "line 5: 1 cells where the header has 2"),
        ("x.tsv", b"a\tb\n1\t2\n3\n4\t5\n", "line 3: 1 cells where the header has 2"),
        ("x.jsonl", b'{"a": "1", "b": "2"}\n\n{"a": }\n{"a": "4", "b": "5"}\n', "line 3: malformed JSON"),
        ("x.jsonl", b'{"a": "1", "b": "2"}\n[1]\n{"a": "4", "b": "5"}\n', "line 2: not a JSON object"),
        ("x.jsonl", b'{"a": "1", "b": "2"}\n{"a": "\xff"}\n{"a": "4", "b": "5"}\n', "line 2: not UTF-8"),
    ],
)
def test_a_row_that_cannot_be_read_is_one_row(tmp_path: Path, name: str, content: bytes, reason: str):
    cells = read(write(tmp_path, name, content))
    (first, bad, last), (second, also_bad, very_last) = cells["a"], cells["b"]
    assert ((first, second), (last, very_last)) == (("1", "2"), ("4", "5"))
    assert isinstance(bad, BadLine)
    assert bad is also_bad
    assert bad.reason.startswith(reason)


def test_a_cell_that_cannot_be_read_leaves_the_others(tmp_path: Path):
    cells = read(write(tmp_path, "x.csv", b"a,b\n1,\xff\n"))
    assert (cells["a"], cells["b"][0].reason) == (["1"], "not UTF-8; convert the file to UTF-8 (at character 0)")
    deep, wide = "[" * 960 + "]" * 960, "[], " * 600 + "1"
    deep = f'{{"a": "]\\"[", "b": {deep}, "c": {{"d": [{wide}]}}}}'
    cells = read(write(tmp_path, "x.jsonl", deep.encode()))
    assert (cells["a"], cells["c"]) == ([']"['], [{"d": [*([[]] * 600), 1]}])
    assert isinstance(cells["b"][0], Unreadable)
    assert cells["b"][0].reason == "nested more than 500 levels deep"
    quotes = write(tmp_path, "y.jsonl", b'{"a": 1}\n' + b'{"a": "' + b"[\\" * 200_000 + b"\n")
    assert read(quotes)["a"][1].reason.startswith("line 2: malformed JSON")


def test_parquet_without_rows_and_with_bytes_for_text(tmp_path: Path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), path)
    with pytest.raises(InputError, match="has no rows"):
        read(path)
    text = pa.Array.from_buffers(pa.string(), 1, [None, *pa.array([b"\xff"]).buffers()[1:]])
    pq.write_table(pa.table({"a": text}), path)
    (cell,) = read(path)["a"]
    assert isinstance(cell, Unreadable)
    assert cell.reason.startswith("not UTF-8")
