import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lib.data.reading.input_file import read_rows
from lib.data.reading.intake import take_in
from lib.data.rows.base import OnBadRow
from lib.data.rows.chunking import ChunkBy, ChunkConfig, chunks
from lib.data.rows.documents import DocumentsConfig, chunk_rows
from lib.errors import InputError

TEXT = "初め。次は、これ。\n終わり"


def load(folder: Path, path: Path, chunk: ChunkConfig | None = None, **values: Any) -> pa.Table:
    rows = chunk_rows(DocumentsConfig(path=str(path), **values), chunk or ChunkConfig(by=ChunkBy.delimiter), None)
    return pa.concat_tables(read_rows(file, folder, 0, file.rows, rows) for file in take_in(rows, folder).inputs)


def test_chunks_of_a_plain_text(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text(TEXT, encoding="utf-8")
    table = load(tmp_path / "run", tmp_path / "talk.txt")
    assert table["text"].to_pylist() == ["初め", "次は、これ", "終わり"]
    assert table["id"].to_pylist() == ["talk.txt:0-2", "talk.txt:3-8", "talk.txt:10-13"]
    assert table["row"].to_pylist() == [0, 1, 2]
    for row in table.to_pylist():
        assert TEXT[row["start"] : row["stop"]] == row["text"]


def test_neighbours_can_be_put_together_again(tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text(TEXT, encoding="utf-8")
    rows = load(tmp_path / "run", tmp_path / "talk.txt").to_pylist()
    assert "".join(row["text"] + row["after"] for row in rows) == TEXT
    assert [row["after"] for row in rows] == ["。", "。\n", ""]


def test_documents_of_a_table_are_called_after_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    documents = [{"id": 5, "text": "a。b"}, {"id": "six", "text": ["c", "d"]}, {"id": 7, "text": " "}]
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    table = load(tmp_path / "run", path)
    assert table["id"].to_pylist() == ["5:0-1", "5:2-3", "six:0-4"]
    assert table["text"].to_pylist() == ["a", "b", "c\n\nd"]
    paragraphs = load(tmp_path / "other", path, ChunkConfig(by=ChunkBy.paragraph))
    assert paragraphs["id"].to_pylist() == ["5:0-3", "six:0-1", "six:3-4"]


def test_tables_of_another_dialect(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id;text\na;One. Two.\n")
    config = DocumentsConfig(path=str(tmp_path / "x.csv"), separator=";")
    rows = chunk_rows(config, ChunkConfig(), None)
    (file,) = take_in(rows, tmp_path / "run").inputs
    assert read_rows(file, tmp_path / "run", 0, 2, rows)["text"].to_pylist() == ["One.", "Two."]


def test_rows_are_numbered_over_batches(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"id": n, "text": "a。b。c"}) + "\n" for n in range(600)))
    table = load(tmp_path / "run", path, limit=1500)
    assert table["row"].to_pylist() == list(range(1500))
    assert table["id"][-1].as_py() == "499:4-5"


def test_bad_documents(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": 1, "text": "a。b"}\n{"id": 2, "text": null}\n{"id": null, "text": "c"}\n')
    with pytest.raises(InputError, match=r"row 2, column text: null"):
        load(tmp_path / "run", path)
    table = load(tmp_path / "kept", path, on_bad_row=OnBadRow.record)
    assert table["text"].to_pylist() == ["a", "b", None, None]
    assert table["error"].to_pylist()[2:] == [
        "text: null (or an empty cell), not a text",
        "id: null (or an empty cell), but chunks are called after it",
    ]


def test_a_table_needs_ids(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text\nhello\n")
    with pytest.raises(InputError, match=r"column 'id' is not there once.*data\.id=NAME"):
        load(tmp_path / "run", path)


def test_a_result_keeps_all_of_a_chunk() -> None:
    rows = chunk_rows(DocumentsConfig(path="x"), ChunkConfig(), None)
    assert [*rows.carried, "number", "occurs", "error"] == rows.schema.names


def documents(path: Path, names: list[str]) -> Path:
    path.write_text("".join(json.dumps({"id": name, "text": f"{n}。b。c"}) + "\n" for n, name in enumerate(names)))
    return path


def test_only_chosen_documents_are_held_against_each_other(tmp_path: Path) -> None:
    path = documents(tmp_path / "x.jsonl", ["a", "b", "c", "a"])
    with pytest.raises(InputError, match=r"'a' \(.* row 0, .* row 3\)"):
        load(tmp_path / "all", path)
    assert load(tmp_path / "limit", path, limit=9)["document"].to_pylist() == list("aaabbbccc")
    with pytest.raises(InputError, match=r"'a' \(.* row 0, .* row 3\)"):
        load(tmp_path / "more", path, limit=10)
    assert load(tmp_path / "fold", path, fold=4, folds=6)["id"].to_pylist() == ["b:2-3", "a:2-3"]


def test_a_sample_is_drawn_from_all_chunks(tmp_path: Path) -> None:
    path = documents(tmp_path / "x.jsonl", [str(n) for n in range(10)])
    table = load(tmp_path / "run", path, sample=20, sample_seed=1)
    assert table.num_rows == 20
    assert max(table["row"].to_pylist()) > 20


def test_documents_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = documents(tmp_path / "x.jsonl", ["a", "b"])
    read: list[str] = []

    def watched(document: str, *rest: Any) -> Any:
        read.append(document)
        return chunks(document, *rest)

    monkeypatch.setattr("lib.data.rows.documents.chunks", watched)
    load(tmp_path / "run", path)
    assert read == ["0。b。c", "1。b。c"]
