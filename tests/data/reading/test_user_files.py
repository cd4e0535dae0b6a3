"""Files as users have them: read as they are meant, or refused with the place and the way out."""

import gzip
import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib import ROOT
from lib.data.qrels import read_qrels
from lib.data.reading import csv_blocks, delimited, encodings, json_blocks
from lib.data.reading.dialect import USUAL, Quotes
from lib.data.reading.input_file import read_rows
from lib.data.reading.intake import take_in
from lib.data.reading.sources import Source, open_source, source_of
from lib.data.rows.base import OnBadRow
from lib.data.rows.battles import BattleColumns, BattlesConfig, Turns
from lib.data.rows.chunking import ChunkConfig
from lib.data.rows.documents import DocumentsConfig, chunk_rows
from lib.data.rows.table import TableConfig, open_table
from lib.errors import ConfigError, InputError
from lib.types import slot_column

SLOT = slot_column("instruction")
Load = Callable[..., pa.Table]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """The canonical rows of a table whose field is `instruction`."""

    def read(path: Path, **values: Any) -> pa.Table:
        rows = open_table(TableConfig(path=str(path), **values), ["instruction"])
        folder = tmp_path / f"run-{uuid.uuid4().hex}"
        inputs = take_in(rows, folder).inputs
        return pa.concat_tables(read_rows(file, folder, 0, file.rows, rows) for file in inputs)

    return read


@pytest.fixture
def cases(shared: Path) -> Path:
    """The folder of small inputs that went wrong."""
    folder = shared.parent / "cases"
    if not folder.is_dir():
        pytest.skip("needs ../shared/cases, which is not part of the project")
    return folder


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def texts(table: pa.Table) -> list[str]:
    return [text for (text,) in table[SLOT].to_pylist()]


# ---- keys of JSONL that come late


@pytest.mark.parametrize("row", [1023, 1024, 1025, 1279, 1280, 3000])
def test_an_error_that_comes_late_is_one(tmp_path: Path, load: Load, row: int) -> None:
    rows: list[dict[str, Any]] = [{"id": n, "instruction": "x"} for n in range(row + 300)]
    rows[row]["error"] = "out of time"
    path = jsonl(tmp_path / "x.jsonl", rows)
    with pytest.raises(InputError, match=f"row {row}, column error: out of time"):
        load(path)
    table = load(path, on_bad_row=OnBadRow.record)
    assert [(n, why) for n, why in enumerate(table["error"].to_pylist()) if why] == [(row, "error: out of time")]


def test_ids_and_winners_that_come_late(tmp_path: Path, load: Load) -> None:
    rows: list[dict[str, Any]] = [{"instruction": "x"} for _ in range(1100)]
    rows[1050]["id"] = "a"
    with pytest.raises(InputError, match=r"row 1050, column id: is here for the first time.*data\.id=null"):
        load(jsonl(tmp_path / "x.jsonl", rows))
    battles = [{"prompt": "p", "response_a": "a", "response_b": "b"} for _ in range(1100)]
    winners = {"winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0}
    path = jsonl(tmp_path / "b.jsonl", [*battles, {**battles[0], **winners, "model_a": "m"}])
    config = BattlesConfig(path=str(path), turns=Turns.text)
    (file,) = take_in(config, tmp_path / "run").inputs
    table = read_rows(file, tmp_path / "run", 0, file.rows, config)
    assert table["label"].to_pylist() == [None] * 1100 + ["B"]
    assert table["model_a"].to_pylist()[-1] == "m"
    path = jsonl(tmp_path / "c.jsonl", [*battles, {**battles[0], "winner_tie": 1}])
    with pytest.raises(InputError, match=r"row 1100, column winner_tie: .*'winner_model_a' is missing"):
        take_in(BattlesConfig(path=str(path), turns=Turns.text), tmp_path / "run")


def test_a_late_column_that_the_task_looks_at_is_refused(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"instruction": "x"} for _ in range(1100)]
    rows[1050]["scores"] = [1.0]
    path = jsonl(tmp_path / "x.jsonl", rows)
    with pytest.raises(InputError, match="row 1050, column scores: "):
        take_in(open_table(TableConfig(path=str(path)), ["instruction"], ["scores"]), tmp_path / "run")


def test_other_late_keys_do_not_matter(tmp_path: Path, load: Load) -> None:
    rows: list[dict[str, Any]] = [{"instruction": "x"} for _ in range(1100)]
    rows[1050]["note"] = "y"
    assert load(jsonl(tmp_path / "x.jsonl", rows)).num_rows == 1100


def test_the_late_key_of_the_cases(cases: Path, load: Load) -> None:
    with pytest.raises(InputError, match="row 1024, column error: the first stage ran out of time"):
        load(cases / "late_key.jsonl")


# ---- quotes


def test_a_tsv_that_looks_unquoted_is_refused(cases: Path, load: Load) -> None:
    with pytest.raises(InputError, match=r"quotes\.tsv, row 1 .*3 lines.*data\.quotes=none.*data\.quotes=double"):
        load(cases / "quotes.tsv")
    table = load(cases / "quotes.tsv", quotes=Quotes.none)
    assert texts(table) == ["first", '"We shall see', "in the middle", 'said the captain"', "last"]
    assert load(cases / "quotes.tsv", quotes=Quotes.double).num_rows == 3


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ('id\tinstruction\tn\n1\t"yes we\tx\n\n2\tcan"\ty\n', "2 lines"),
        ('id\t"instruction\n1\tone\n2\ttwo"\n3\tx\n', "header: .* 3 lines"),
        ('id\tinstruction\n1\t"yes\n2\tno\n', "quote left open.*data.quotes=none"),
        ('id\tinstruction\n1\t"yes" he said\n', "malformed CSV.*data.quotes=none"),
        ('instruction\n"one\ntwo"\n', "2 lines"),
        ('id\tinstruction\n"1\tone"\n', "1 cells where the header has 2; data.quotes=none"),
    ],
)
def test_quotes_that_may_be_letters(tmp_path: Path, load: Load, content: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        load(write(tmp_path / "x.tsv", content))


def test_quoted_tsv_is_read(tmp_path: Path, load: Load) -> None:
    path = write(tmp_path / "x.tsv", 'id\tinstruction\n1\t"two\nlines"\n2\t"a ""word"""\n3\tsay "x"\n4\t"tab\there"\n')
    assert texts(load(path)) == ["two\nlines", 'a "word"', 'say "x"', "tab\there"]
    path = write(tmp_path / "y.tsv", 'id\tinstruction\tn\n1\t"in the\nmiddle"\tx\n"a\nb"\t"c\n\nd"\t"e\nf"\n')
    assert texts(load(path)) == ["in the\nmiddle", "c\n\nd"]


# ---- two columns of one name


@pytest.mark.parametrize("name", ["id", "instruction", "error", "note"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, load: Load, name: str) -> None:
    columns = ["id", "instruction", "error", "note", name]
    message = f"column '{name}' is there twice"
    with pytest.raises(InputError, match=message):
        load(write(tmp_path / "x.csv", ",".join(columns) + "\n1,2,,3,4\n"))
    pq.write_table(pa.table([pa.array(["1"])] * 5, names=columns), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=message):
        load(tmp_path / "x.parquet")
    with pytest.raises(InputError, match=message):
        load(tmp_path / "x.parquet", carry=["note"])
    cells = ", ".join(f'"{column}": "1"' for column in columns)
    with pytest.raises(InputError, match=f"line 1: .*'{name}' is there twice"):
        load(write(tmp_path / "x.jsonl", "{" + cells + "}\n"))


def test_the_repeated_columns_of_the_cases(cases: Path, load: Load) -> None:
    for suffix in ("csv", "parquet"):
        with pytest.raises(InputError, match="column 'id' is there twice"):
            load(cases / f"twice_id.{suffix}")


# ---- empty parts, texts, a column of errors


def test_empty_parts_are_counted_and_passed_over(cases: Path, load: Load, tmp_path: Path) -> None:
    assert texts(load(cases / "parts")) == ["a", "b", "c"]
    rows = open_table(TableConfig(path=str(cases / "parts")), ["instruction"])
    assert "empty files passed over: 1" in str(take_in(rows, tmp_path / "run").report)


def test_empty_parts_of_every_kind(tmp_path: Path, load: Load) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    empty = pa.table({"id": pa.array([], pa.int64()), "other": pa.array([], pa.null())})
    pq.write_table(empty, folder / "a.parquet")
    write(folder / "b.csv", "")
    write(folder / "c.csv", "instruction\n")
    write(folder / "d.jsonl", "\n")
    write(folder / "e.jsonl.gz", gzip.compress(b""))
    with pytest.raises(InputError, match="none of them has any rows"):
        load(folder)
    write(folder / "f.csv", "instruction\none\n")
    write(folder / "g.jsonl", '{"instruction": "two"}\n')
    assert texts(load(folder)) == ["one", "two"]
    assert texts(load(folder, sample=1)) in (["one"], ["two"])
    assert texts(load(folder, limit=1)) == ["one"]


def test_markdown_is_a_text_but_not_a_part_of_a_table(tmp_path: Path, load: Load) -> None:
    write(tmp_path / "notes.md", "# One\n\nTwo.\n")
    rows = chunk_rows(DocumentsConfig(path=str(tmp_path / "notes.md")), ChunkConfig(), None)
    (file,) = take_in(rows, tmp_path / "run").inputs
    assert "".join(
        row["text"] + row["after"] for row in read_rows(file, tmp_path / "run", 0, file.rows, rows).to_pylist()
    )
    write(tmp_path / "x.csv", "instruction\none\n")
    with pytest.raises(InputError, match=r"notes\.md is a plain text beside tables such as .*x\.csv"):
        load(tmp_path / "*.*")


def test_a_tables_own_column_error(cases: Path, load: Load, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.failed=null"):
        load(cases / "error_column.csv", columns={"instruction": "error"})
    assert texts(load(cases / "error_column.csv", columns={"instruction": "error"}, failed=None))[0] == "disk full"
    path = write(tmp_path / "x.csv", "instruction,error\na,0.5\nb,0.2\n")
    with pytest.raises(InputError, match=r"row 0, column error: 0\.5(.|\n)*data\.failed=null"):
        load(path)
    assert load(path, failed=None).num_rows == 2


# ---- encodings and separators

TEXT = "id,instruction\n1,こんにちは、世界。\n2,東京へ行きます\n"


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("shift_jis", "Shift_JIS"),
        ("cp932", "Shift_JIS"),
        ("euc_jp", "EUC-JP"),
        ("iso2022_jp", "ISO-2022-JP"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".txt", ".csv.gz"])
def test_other_encodings_are_named(tmp_path: Path, load: Load, codec: str, name: str, suffix: str) -> None:
    text = TEXT.replace(",", "\t") if suffix == ".tsv" else TEXT
    text = '{"instruction": "こんにちは、世界。"}\n' if suffix == ".jsonl" else text
    if codec == "iso2022_jp":  # known by its first line only, as it looks like ASCII
        text = text.replace("instruction", "instruction,かな", 1)
    content = text.encode(codec)
    path = write(tmp_path / f"x{suffix}", gzip.compress(content) if suffix.endswith(".gz") else content)
    with pytest.raises(InputError, match=name):
        load(path, columns={"instruction": "text"} if suffix == ".txt" else {})


def test_an_encoded_header_and_western_letters_are_named(tmp_path: Path, load: Load) -> None:
    with pytest.raises(InputError, match="header: not UTF-8, but by its looks Shift_JIS"):
        load(write(tmp_path / "x.csv", "番号,しつもん\n1,a\n".encode("cp932")))
    with pytest.raises(InputError, match="row 0, column instruction: not UTF-8, but by its looks Windows-1252"):
        load(write(tmp_path / "y.csv", "instruction\nMüller fährt\n".encode("cp1252")))
    with pytest.raises(InputError, match=r"qrels\.tsv.*UTF-16"):
        read_qrels(str(write(tmp_path / "qrels.tsv", "q\td\t1\n".encode("utf-16"))))


def test_the_separators_of_the_cases(cases: Path, load: Load) -> None:
    with pytest.raises(InputError, match="UTF-16"):
        load(cases / "utf16.csv")
    with pytest.raises(InputError, match=r"semicolon \(';'\).*data\.separator=\";\""):
        load(cases / "semicolon.csv")
    assert texts(load(cases / "semicolon.csv", separator=";")) == ["hello", "bye"]


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", "\t"), (".csv", "|"), (".tsv", ","), (".tsv", ";")])
def test_another_separator_is_named_and_can_be_set(tmp_path: Path, load: Load, suffix: str, separator: str) -> None:
    path = write(tmp_path / f"x{suffix}", "id,instruction\n1,a\n".replace(",", separator))
    spelled = separator.replace("\t", "\\t")
    with pytest.raises(InputError) as error:
        load(path)
    assert f'data.separator="{spelled}"' in str(error.value)
    assert texts(load(path, separator=spelled)) == ["a"]


def test_one_column_and_odd_separators(tmp_path: Path, load: Load) -> None:
    assert texts(load(write(tmp_path / "x.csv", "instruction\na;b\n"))) == ["a;b"]
    for odd in ("", ";;", '"', "\n"):
        with pytest.raises(ConfigError, match=r"data\.separator"):
            TableConfig(path="x.csv", separator=odd)
    path = jsonl(tmp_path / "x.jsonl", [{"instruction": "x"}])
    with pytest.raises(ConfigError, match="neither"):
        load(path, separator=";")
    with pytest.raises(ConfigError, match="neither"):
        load(path, quotes=Quotes.none)


# ---- types of Parquet


def test_views_times_and_numbers_of_the_cases(cases: Path, load: Load) -> None:
    assert load(cases / "string_view.parquet", carry=["note"])["note"].to_pylist() == ["n1", None]
    for limit in (None, 1):
        table = load(cases / "far_time.parquet", carry=["at"], limit=limit)
        assert table["at"].cast(pa.int64()).to_pylist() == [1 << 62, 0][:limit]
    assert texts(load(cases / "number_slot.parquet")) == ["42", "43"]


def test_numbers_become_text(tmp_path: Path, load: Load) -> None:
    columns = {
        "id": pa.array([1.0, 2.0, 3.0]),
        "f32": pa.array([0.1, 2.0, 1e20], pa.float32()),
        "f64": [0.1, -3.0, 1e300],
        "i": [1, -2, 1 << 60],
        "gap": [1.0, float("nan"), None],
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")

    def slot(name: str) -> list[str]:
        return texts(load(tmp_path / "x.parquet", columns={"instruction": name}))

    assert slot("f32") == ["0.1", "2", "1e+20"]
    assert slot("f64") == ["0.1", "-3", "1e+300"]
    assert slot("i") == ["1", "-2", str(1 << 60)]
    with pytest.raises(InputError, match="rows that can't be used: 2"):
        slot("gap")
    assert texts(load(jsonl(tmp_path / "x.jsonl", [{"instruction": 7}]))) == ["7"]


CARRIED = {
    "string_view": pa.array(["a", None, "\U0001f600"], pa.string_view()),
    "large_string": pa.array(["a", None, "c"], pa.large_string()),
    "binary_view": pa.array([b"a", None, b"\xff"], pa.binary_view()),
    "dictionary": pa.array(["a", None, "a"]).dictionary_encode(),
    "list_of_views": pa.array([["a"], None, []], pa.list_(pa.string_view())),
    "large_list": pa.array([[1.5], None, []], pa.large_list(pa.float32())),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": 2, "b": None}]),
    "uuid": pa.array([uuid.UUID(int=n).bytes for n in range(3)], pa.uuid()),
    "ns": pa.array([1 << 62, None, -(1 << 62)], pa.timestamp("ns")),
    "us": pa.array([1 << 62, None, -(1 << 62)], pa.timestamp("us", "UTC")),
    "date": pa.array([1 << 30, None, -(1 << 30)], pa.date32()),
    "time": pa.array([86_399_999_999, None, 0], pa.time64("us")),
    "duration": pa.array([1 << 62, None, 0], pa.duration("us")),
    "decimal": pa.array(["1.50", None, "-2.25"]).cast(pa.decimal128(9, 2)),
    "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int32())),
    "null": pa.nulls(3),
}


@pytest.mark.parametrize("kind", CARRIED)
@pytest.mark.parametrize("limit", [None, 2])
def test_columns_of_any_type_are_carried(tmp_path: Path, load: Load, kind: str, limit: int | None) -> None:
    column = CARRIED[kind]
    pq.write_table(pa.table({"instruction": ["a", "b", "c"], "x": column}), tmp_path / "x.parquet")
    table = load(tmp_path / "x.parquet", carry=["x"], limit=limit)
    found = table["x"].combine_chunks()
    assert found.equals((column if kind != "dictionary" else column.dictionary_decode())[:limit].cast(found.type))
    pq.write_table(table, tmp_path / "again.parquet")


def test_uuids_are_ids(tmp_path: Path, load: Load) -> None:
    ids = [uuid.UUID(int=n) for n in (1, 2)]
    table = pa.table({"id": pa.array([key.bytes for key in ids], pa.uuid()), "instruction": ["a", "b"]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert load(tmp_path / "x.parquet")["id"].to_pylist() == [str(key) for key in ids]
    pq.write_table(pa.concat_tables([table, table]), tmp_path / "y.parquet")
    with pytest.raises(InputError, match="more than once"):
        load(tmp_path / "y.parquet")


@pytest.mark.parametrize("kind", ["us", "ns", "date", "uuid", "struct", "binary_view", "duration"])
def test_what_is_no_text_is_a_bad_row_everywhere(tmp_path: Path, load: Load, kind: str) -> None:
    pq.write_table(pa.table({"id": CARRIED[kind], "instruction": CARRIED[kind]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"row 0, column instruction: "):
        load(tmp_path / "x.parquet", id=None)
    if kind != "uuid":
        table = load(tmp_path / "x.parquet", columns={"instruction": "id"}, on_bad_row=OnBadRow.record)
        assert all(error.startswith("id: ") for error in table["error"].to_pylist())
    battles = dict.fromkeys(("prompt", "response_a", "response_b", "label", "model_a"), CARRIED[kind])
    pq.write_table(pa.table(battles), tmp_path / "b.parquet")
    config = BattlesConfig(path=str(tmp_path / "b.parquet"), columns=BattleColumns(label="label"))
    with pytest.raises(InputError, match="row 0, column "):
        take_in(config, tmp_path / "run")


def test_ids_that_are_bad_and_ids_that_repeat(tmp_path: Path, load: Load) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"id": key, "instruction": "x"} for key in ("a", "a", "b")])
    with pytest.raises(InputError, match="more than once"):
        load(path, on_bad_row=OnBadRow.record)
    path = jsonl(tmp_path / "y.jsonl", [{"id": key, "instruction": "x"} for key in (["a"], "a", "a")])
    with pytest.raises(InputError, match="more than once"):
        load(path, on_bad_row=OnBadRow.record)
    path = jsonl(tmp_path / "z.jsonl", [{"id": key, "instruction": "x"} for key in (["a"], None, "a")])
    assert load(path, on_bad_row=OnBadRow.record)["error"].to_pylist() == [
        "id: a list, not a text or a whole number",
        "id: null (or an empty cell), where other rows have one",
        None,
    ]
    with pytest.raises(InputError, match="row 0, column id: a list"):
        load(path)


# ---- grades


def test_grades_with_a_point(cases: Path) -> None:
    assert read_qrels(str(cases / "grades_float.tsv")) == {"q1": {"d1": 1, "d2": 0}}


# ---- lines without an end


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.tsv", "x.jsonl.gz", "x.csv.gz"])
def test_a_line_is_refused_before_it_is_whole(
    tmp_path: Path, load: Load, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (delimited, encodings):
        monkeypatch.setattr(module, "LONGEST", 1000)
    for module in (csv_blocks, json_blocks):
        monkeypatch.setattr(module, "BLOCK_BYTES", 500)  # a bearable line may be longer than a block
    head = '{"instruction": "x"}\n{"instruction": "' if "jsonl" in name else "instruction\nx\n"
    content = (head + "y" * 5000).encode()
    path = write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(InputError, match=r"line [23]: the line is longer than"):
        load(path)


_LITTLE = """
import resource, sys
from lib.data.reading.intake import take_in
from lib.data.rows.table import TableConfig, open_table
from lib.errors import InputError
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (3_000_000 << 10, 3_000_000 << 10))
try:
    take_in(open_table(TableConfig(path=sys.argv[1]), [sys.argv[2]]), Path(sys.argv[1]).parent / "run")
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("name", "begin", "middle", "said"),
    [
        ("x.jsonl.gz", b'{"instruction": "', b"y", "line 1: the line is longer than 64 MiB"),
        ("x.csv.gz", b"instruction\n", b"y", "line 2: the line is longer than 64 MiB"),
        ("x.txt.gz", b"", b"y", "longer than 512 MiB"),
    ],
)
def test_a_small_file_that_inflates_to_gigabytes(
    tmp_path: Path, name: str, begin: bytes, middle: bytes, said: str
) -> None:
    with gzip.open(tmp_path / name, "wb", compresslevel=1) as file:
        file.write(begin)
        for _ in range(600):
            file.write(middle * (1 << 20))
    field = "text" if ".txt" in name else "instruction"
    line = [sys.executable, "-c", _LITTLE, str(tmp_path / name), field]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said in done.stdout, done.stderr


def test_times_are_what_they_were(tmp_path: Path, load: Load) -> None:
    times = [datetime(2026, 1, 2, 3, 4, 5, 678901), None]
    pq.write_table(pa.table({"instruction": ["a", "b"], "at": times}), tmp_path / "x.parquet")
    assert load(tmp_path / "x.parquet", carry=["at"])["at"].to_pylist() == times


def test_memory_that_runs_out_is_said_with_the_file(tmp_path: Path) -> None:
    def run_out(source: Source) -> None:
        with open_source(source):
            raise MemoryError

    with pytest.raises(InputError, match=r"x\.csv: there is not enough memory"):
        run_out(source_of(str(write(tmp_path / "x.csv", "a\n1\n"))))


@pytest.mark.parametrize("first", ["sep=,", "sep=;", "SEP=\t"])
def test_a_line_for_excel_is_named(tmp_path: Path, first: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{first}\r\nid,text\r\n1,x\r\n")
    with pytest.raises(InputError, match=r"line 1: tells Excel the separator; delete the line"):
        delimited.csv_header(source_of(str(path)), USUAL)
