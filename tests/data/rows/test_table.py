import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.image_files import contents_hash
from lib.data.joining.keys import content_keys
from lib.data.reading.input_file import read_rows
from lib.data.reading.intake import take_in
from lib.data.rows.base import OnBadRow
from lib.data.rows.table import TableConfig, open_table
from lib.errors import ConfigError, InputError
from lib.images import image_column
from lib.types import slot_column
from tests.pictures import data_url, picture


def jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def load(folder: Path, path: str, fields: list[str], **values: Any) -> pa.Table:
    rows = open_table(TableConfig(path=path, **values), fields)
    return pa.concat_tables(read_rows(file, folder, 0, file.rows, rows) for file in take_in(rows, folder).inputs)


def test_fields_are_lists_of_texts_and_carried_columns_stay(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "x.jsonl",
        [
            {"id": 7, "q": "why?", "passages": ["one", "two"], "n": 3},
            {"id": "b", "q": "how?", "passages": [], "n": None},
        ],
    )
    table = load(tmp_path / "run", path, ["question", "passages"], columns={"question": "q"}, carry=["n"])
    assert table["id"].to_pylist() == ["7", "b"]
    assert table[slot_column("question")].to_pylist() == [["why?"], ["how?"]]
    assert table[slot_column("passages")].to_pylist() == [["one", "two"], []]
    assert table["n"].to_pylist() == ["3", None]
    assert table["error"].to_pylist() == [None, None]


def test_a_carried_column_of_parquet_keeps_its_type(tmp_path: Path) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0], pa.float32()), 2)
    source = pa.table({"text": ["a", "b"], "vector": vectors, "start": pa.array([1, 2], pa.int64())})
    pq.write_table(source, tmp_path / "x.parquet")
    for limit in (None, 1):  # read in place, and copied
        table = load(
            tmp_path / f"run{limit}", str(tmp_path / "x.parquet"), ["text"], carry=["vector", "start"], limit=limit
        )
        assert table["vector"].type == vectors.type
        assert table.select(["vector", "start"]).equals(source.select(["vector", "start"]).slice(0, limit))


def test_columns_beside_are_read_where_all_files_have_them(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [{"text": "x", "rank": "1", "score": "2"}])
    jsonl(tmp_path / "b.jsonl", [{"text": "y", "rank": "3"}])
    rows = open_table(TableConfig(path=str(tmp_path / "*.jsonl"), carry=["rank"]), ["text"], ["rank", "score"])
    assert rows.plain == ["rank"]
    rows = open_table(TableConfig(path=str(tmp_path / "*.jsonl")), ["text"], ["rank", "score"])
    assert rows.plain == ["rank"]
    assert rows.carried == ("file", "row", "id")


def test_what_failed_before_is_a_bad_row(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"text": "a", "error": None}, {"text": "b", "error": "killed the worker"}])
    table = load(tmp_path / "run", path, ["text"], on_bad_row=OnBadRow.record)
    assert table["error"].to_pylist() == [None, "error: killed the worker"]
    with pytest.raises(InputError, match="row 1, column error: killed the worker"):
        load(tmp_path / "again", path, ["text"])
    assert load(tmp_path / "all", path, ["text"], failed=None)["error"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [(None, "null"), (True, "a truth value"), ({"a": 1}, "an object"), (["a", True], "turn 1 is a truth value")],
)
def test_bad_cells(tmp_path: Path, cell: Any, reason: str) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"text": "fine"}, {"text": cell}])
    with pytest.raises(InputError, match=f"row 1, column text: {reason}"):
        load(tmp_path / "run", path, ["text"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"columns": {"text": "body"}}, r"column 'body' is missing.*data.columns.text=NAME"),
        ({"carry": ["score"]}, "column 'score' is missing.*data.carry"),
        ({"id": "key"}, "column 'key' is missing.*data.id"),
        ({"failed": "why"}, "column 'why' is missing.*data.failed"),
    ],
)
def test_missing_columns(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"text": "fine"}])
    with pytest.raises(InputError, match=message):
        load(tmp_path / "run", path, ["text"], **values)


def test_unknown_fields_and_taken_names(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"text": "fine"}])
    with pytest.raises(ConfigError, match=r"no field question; it reads text"):
        open_table(TableConfig(path=path, columns={"question": "q"}), ["text"])
    with pytest.raises(ConfigError, match=r"data\.carry"):
        TableConfig(path=path, carry=["id"])
    with pytest.raises(ConfigError, match="twice"):
        TableConfig(path=path, carry=["a", "a"])


def test_a_plain_text_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("one\n\ntwo", encoding="utf-8")
    assert load(tmp_path / "run", str(tmp_path / "x.txt"), ["text"])[slot_column("text")].to_pylist() == [
        ["one\n\ntwo"]
    ]
    (tmp_path / "y.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        load(tmp_path / "bad", str(tmp_path / "y.txt"), ["text"])


def test_a_sample_is_drawn_from_all_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        jsonl(tmp_path / f"{name}.jsonl", [{"id": f"{name}{n}", "text": "x"} for n in range(50)])
    table = load(tmp_path / "run", str(tmp_path / "*.jsonl"), ["text"], sample=10)
    assert table.num_rows == 10
    assert {value[0] for value in table["id"].to_pylist()} == {"a", "b"}


def test_results_keep_the_place_and_what_is_carried(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"text": "fine", "n": 1}])
    assert open_table(TableConfig(path=path, carry=["n"]), ["text"]).carried == ("file", "row", "id", "n")


def test_half_a_character_in_a_reason_is_repaired(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(
        '{"id": "a", "q": "why?", "error": "cut \\ud83d"}\n{"id": "\\ud83d", "q": "how?"}\n'
    )
    table = load(tmp_path / "run", str(tmp_path / "x.jsonl"), ["q"], on_bad_row=OnBadRow.record)
    assert table["error"].to_pylist() == ["error: cut \ufffd", None]
    assert table["id"].to_pylist() == ["a", "\ufffd"]


def test_numbers_in_slots_are_texts_alone_and_in_lists(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"id": "a", "q": 42}, {"id": "b", "q": [1, 2.0, "c", None, 0.5]}])
    table = load(tmp_path / "run", path, ["q"])
    assert table[slot_column("q")].to_pylist() == [["42"], ["1", "2", "c", None, "0.5"]]


def test_a_prompt_without_slots_needs_ids_to_tell_rows(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"text": "a"}, {"text": "b"}])
    for values in ({}, {"sample": 1}):
        with pytest.raises(ConfigError, match=r"no column of it is read.*such as \{text\}, .*data\.id=NAME"):
            load(tmp_path / "run", path, [], **values)
    assert load(tmp_path / "run", path, [], id="text")["id"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize("key", ["limit", "sample", "folds"])
def test_numbers_of_rows_that_no_input_has(key: str) -> None:
    with pytest.raises(ConfigError, match=f"data.{key}=1{'0' * 400}: must be at least 1 and below"):
        TableConfig(path="x", **{"fold": 0, key: 10**400})


def load_images(folder: Path, path: str, fields: tuple[str, ...] = (), **values: Any) -> pa.Table:
    rows = open_table(TableConfig(path=path, **values), fields, images=["photo"])
    table = pa.concat_tables(read_rows(file, folder, 0, file.rows, rows) for file in take_in(rows, folder).inputs)
    return table.append_column("key", content_keys(table, rows.content))


def test_cells_of_images_are_read_and_count_by_what_they_show(tmp_path: Path) -> None:
    for name, seed in (("a.png", 1), ("same.png", 1), ("b.png", 2)):
        (tmp_path / name).write_bytes(picture(seed))
    cells: list[Any] = ["a.png", "same.png", data_url(picture(1)), "b.png", ["a.png", "b.png"], ["b.png", "a.png"]]
    path = jsonl(tmp_path / "x.jsonl", [{"q": "why?", "photo": cell} for cell in cells])
    table = load_images(tmp_path / "run", path, ("q",))
    one, other = data_url(picture(1)), data_url(picture(2))
    assert table[image_column("photo")].to_pylist() == [[one]] * 3 + [[other], [one, other], [other, one]]
    keys = table["key"].to_pylist()
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys)) == 4


def test_images_of_parquet_and_csv_are_copied_a_few_rows_at_a_time(tmp_path: Path) -> None:
    rows = 40
    for n in range(rows):
        (tmp_path / f"{n}.png").write_bytes(picture(n, (4, 4)))
    names = [f"{n}.png" for n in range(rows)]
    pq.write_table(pa.table({"file": names}), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("file\n" + "\n".join(names))
    for kind in ("parquet", "csv"):
        columns = {"photo": "file"}
        table = load_images(tmp_path / kind, str(tmp_path / f"x.{kind}"), columns=columns)
        assert table["row"].to_pylist() == [*range(rows)]
        assert table[image_column("photo")].to_pylist() == [[data_url(picture(n, (4, 4)))] for n in range(rows)]


def test_a_cell_that_is_no_image_is_bad(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "above.png").write_bytes(picture(1))
    cells: list[Any] = ["none.png", "../above.png", "http://example.org/a.png", None, [], [None], 3]
    path = jsonl(tmp_path / "below" / "x.jsonl", [{"photo": cell} for cell in cells])
    errors = load_images(tmp_path / "run", path, on_bad_row=OnBadRow.record)["error"].to_pylist()
    assert errors[0].startswith("photo: image none.png: cannot be read (No such file or directory)")
    assert errors[1].startswith("photo: image ../above.png: lies outside of")
    assert "nothing is fetched from elsewhere" in errors[2]
    assert errors[3:] == ["photo: no image: must be a path, a data: URL, or a list of these"] * 4


def test_what_the_images_of_a_table_hold_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    path = jsonl(tmp_path / "x.jsonl", [{"photo": ["a.png", "b.png"]}, {"photo": data_url(picture(1))}])
    rows = open_table(TableConfig(path=path), [], images=["photo"])
    before = contents_hash(rows.shown_files())
    (tmp_path / "a.png").write_bytes(picture(2))
    assert contents_hash(rows.shown_files()) != before


def test_a_missing_column_of_images_is_named(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"q": "a"}])
    with pytest.raises(InputError, match=r"column 'photo' is missing.*\+\+data.columns.photo=NAME"):
        load_images(tmp_path / "run", path)
