"""Lines that can't be read: with data.on_bad_row=record each is one bad row, and the others are as they are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lib.data.reading.input_file import read_rows
from lib.data.reading.intake import take_in
from lib.data.rows.base import OnBadRow, Rows
from lib.data.rows.battles import BattleColumns, BattlesConfig, Turns
from lib.data.rows.chunking import ChunkConfig
from lib.data.rows.conversations import ConversationsConfig
from lib.data.rows.documents import DocumentsConfig, chunk_rows
from lib.data.rows.table import TableConfig, open_table
from lib.errors import InputError
from lib.types import slot_column

BAD_JSON = {
    b"{oops": "malformed JSON",
    b'{"id": 1, "id": 2}': "malformed JSON (key 'id' is there twice)",
    b"[1]": "not a JSON object, as each line must be; if the file is one JSON array, make lines of it",
    b"[": "malformed JSON (Expecting value: line 2 column 1 (char 2)); if the file is one JSON array, make lines",
    b'"text"': "not a JSON object",
    b'{"text": "\x83\x6e"}': "not UTF-8",
    b"[" * 100_000: "malformed JSON",
    b'{"text": ' + b"9" * 5000 + b"}": "malformed JSON",
}
BAD_CSV = {b"x": "1 cells where the header has 2", b"x,y,z": "3 cells where", b'"x"y,z': "malformed CSV"}


def row(number: int) -> bytes:
    return json.dumps({"id": f"r{number}", "text": f"text {number}"}).encode()


def jsonl(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def load(folder: Path, config: Rows) -> pa.Table:
    inputs = take_in(config, folder).inputs
    return pa.concat_tables(read_rows(file, folder, 0, file.rows, config) for file in inputs)


def table(path: Path, **values: Any) -> Rows:
    return open_table(TableConfig(path=str(path), **{"on_bad_row": OnBadRow.record, **values}), ["text"])


def test_each_bad_line_is_one_row_and_the_others_are_read(tmp_path: Path) -> None:
    lines = [line for number, bad in enumerate(BAD_JSON) for line in (bad, row(number))]
    path = jsonl(tmp_path / "x.jsonl", lines)
    found = load(tmp_path / "run", table(path))
    assert found["row"].to_pylist() == list(range(len(lines)))
    errors = found["error"].to_pylist()
    for number, why in enumerate(BAD_JSON.values()):
        assert errors[2 * number].startswith(f"line {2 * number + 1}: {why}")
    assert errors[1::2] == [None] * len(BAD_JSON)
    assert found["id"].to_pylist()[1::2] == [f"r{number}" for number in range(len(BAD_JSON))]
    assert found[slot_column("text")].to_pylist()[::2] == [None] * len(BAD_JSON)
    with pytest.raises(InputError) as error:
        load(tmp_path / "all", table(path, on_bad_row=OnBadRow.fail))
    assert f"rows that can't be used: {len(BAD_JSON)};" in str(error.value)
    assert f"{path}, row 2, line 3: malformed JSON (key 'id' is there twice)" in str(error.value)


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_rows_of_another_width_are_bad_rows(tmp_path: Path, suffix: str) -> None:
    lines = [b"id,text", *(line for bad in BAD_CSV for line in (bad, b"r%d,one" % len(bad))), b'last,"two\nlines"']
    content = b"\n".join(lines) + b"\n"
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content if suffix == "csv" else content.replace(b",", b"\t"))
    found = load(tmp_path / "run", table(path))
    errors = found["error"].to_pylist()
    for number, why in enumerate(BAD_CSV.values()):
        assert errors[2 * number].startswith(f"line {2 * number + 2}: {why}")
    assert errors[1::2] == [None] * len(BAD_CSV)
    assert found["id"].to_pylist()[-2:] == ["r6", "last"]


def test_a_quote_that_is_left_open_swallows_no_rows(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b'id,text\na,"one\nb,two\nc,three",four\nd,five\n')
    with pytest.raises(InputError, match=r"x\.csv, row 0 \(ends in line 4\): 3 cells where the header has 2.*quotes"):
        load(tmp_path / "run", table(tmp_path / "x.csv"))


@pytest.mark.parametrize("values", [{"limit": 7}, {"fold": 1, "folds": 3}, {"sample": 5, "sample_seed": 3}])
def test_bad_lines_are_counted_where_rows_are_chosen(tmp_path: Path, values: dict[str, int]) -> None:
    good = jsonl(tmp_path / "good.jsonl", [row(number) for number in range(20)])
    bad = jsonl(tmp_path / "bad.jsonl", [b"{oops" if number % 4 == 0 else row(number) for number in range(20)])
    chosen = load(tmp_path / "good", table(good, **values))["row"].to_pylist()
    found = load(tmp_path / "bad", table(bad, **values))
    assert found["row"].to_pylist() == chosen
    assert [number for number, why in zip(chosen, found["error"].to_pylist(), strict=True) if why] == [
        number for number in chosen if number % 4 == 0
    ]


def test_a_bad_line_that_is_not_chosen_does_not_matter(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [row(0), b"{oops", row(2), row(3)])
    chosen = load(tmp_path / "run", table(path, on_bad_row=OnBadRow.fail, fold=0, folds=2))
    assert chosen["row"].to_pylist() == [0, 2]


def test_a_key_that_comes_behind_bad_lines_is_in_its_row(tmp_path: Path) -> None:
    lines = [b"{oops" if number % 2 else row(number) for number in range(1100)]
    path = jsonl(tmp_path / "x.jsonl", [*lines, b'{"id": "x", "text": "y", "error": "out of time"}'])
    errors = load(tmp_path / "run", table(path))["error"].to_pylist()
    assert errors[-1] == "error: out of time"
    assert len([why for why in errors if why]) == 551


def test_ids_that_repeat_are_refused_beside_bad_lines(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [b"{oops", row(0), b"{oops", row(0)])
    with pytest.raises(InputError, match=r"'r0' \(.* row 1, .* row 3\)"):
        load(tmp_path / "run", table(path))


def test_a_file_of_bad_lines_only_is_refused(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [b"{oops"] * 3)
    with pytest.raises(InputError, match=r"x\.jsonl, line 1: malformed JSON"):
        table(path)
    jsonl(tmp_path / "y.jsonl", [row(0)])
    with pytest.raises(InputError, match=r"x\.jsonl, line 1: malformed JSON"):
        load(tmp_path / "run", table(tmp_path))


def _battles(path: Path) -> Rows:
    return BattlesConfig(path=str(path), turns=Turns.text, on_bad_row=OnBadRow.record)


def _conversations(path: Path) -> Rows:
    return ConversationsConfig(path=str(path), columns=BattleColumns(id="id"), on_bad_row=OnBadRow.record)


def _documents(path: Path) -> Rows:
    return chunk_rows(DocumentsConfig(path=str(path), on_bad_row=OnBadRow.record), ChunkConfig(), None)


TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
BATTLE = {"prompt": "q", "response_a": "a", "response_b": "b", "winner_model_a": 1, "winner_model_b": 0}
KINDS: list[tuple[Callable[[Path], Rows], dict[str, Any]]] = [
    (_battles, {"id": "x", **BATTLE, "winner_tie": 0}),
    (_conversations, {"id": "x", "conversation_a": TURNS, "conversation_b": TURNS, "winner": "model_a"}),
    (_documents, {"id": "x", "text": "one"}),
]


@pytest.mark.parametrize(("config", "good"), KINDS)
def test_every_kind_of_rows_keeps_its_bad_lines(
    tmp_path: Path, config: Callable[[Path], Rows], good: dict[str, Any]
) -> None:
    path = jsonl(tmp_path / "x.jsonl", [b"{oops", json.dumps(good).encode(), b"[1]"])
    first, second, third = load(tmp_path / "run", config(path))["error"].to_pylist()
    assert (first.split(" (")[0], second, third[:26]) == (
        "line 1: malformed JSON",
        None,
        "line 3: not a JSON object,",
    )


def test_a_plain_text_that_is_not_utf8_is_one_bad_row(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.txt").write_bytes("料金".encode("shift_jis"))
    (tmp_path / "c.txt").write_bytes("two".encode("utf-16"))
    found = load(tmp_path / "run", _documents(tmp_path))
    assert found["text"].to_pylist() == ["one", None, None]
    assert found["error"][1].as_py().startswith("text: not UTF-8")
    assert found["error"][2].as_py().startswith("text: the file is UTF-16, not UTF-8")
