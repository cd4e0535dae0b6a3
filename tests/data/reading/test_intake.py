import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lib
from lib.data.reading import intake
from lib.data.reading.input_file import InputFile, read_rows
from lib.data.reading.intake import Intake, take_in
from lib.data.rows.base import OnBadRow
from lib.data.rows.battles import SCHEMA, BattleColumns, BattlesConfig, Turns
from lib.errors import InputError, RunFolderError
from lib.types import VERDICTS

SHARED = Path(lib.__file__).parents[2] / "shared" / "data"
NAMES = ["id", "prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"]


def record(n: int, **changes: Any) -> dict[str, Any]:
    texts = {name: json.dumps([f"{name} {n}", 'line\nbreak, "quoted"']) for name in NAMES[1:4]}
    winners = {name: int(n % 3 == at) for at, name in enumerate(NAMES[4:])}
    return {"id": str(n), **texts, **winners, **changes}


def records(rows: int, first: int = 0) -> list[dict[str, Any]]:
    return [record(n) for n in range(first, first + rows)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)
    elif path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def everything(intake: Intake, folder: Path, config: BattlesConfig) -> pa.Table:
    return pa.concat_tables(read_rows(file, folder, 0, file.rows, config) for file in intake.inputs)


def load(path: Path | str, folder: Path, **changes: Any) -> pa.Table:
    config = BattlesConfig(path=str(path), **changes)
    return everything(take_in(config, folder), folder, config)


def test_the_real_file_against_pandas_and_json(tmp_path: Path):
    path = SHARED / "arena_kaggle" / "train_first100.csv"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    table, frame = load(path, tmp_path), pd.read_csv(path)
    assert table["id"].to_pylist() == frame["id"].astype(str).tolist()
    for name in ("prompt", "response_a", "response_b"):
        assert table[name].to_pylist() == frame[name].map(json.loads).tolist()
    assert table["model_a"].to_pylist() == frame["model_a"].tolist()
    assert table["label"].to_pylist() == [VERDICTS[place] for place in frame[NAMES[4:]].to_numpy().argmax(axis=1)]
    assert table["row"].to_pylist() == list(range(100))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_formats_agree(tmp_path: Path, suffix: str):
    rows = records(700)
    table = load(write(tmp_path / f"x{suffix}", rows), tmp_path / "run")
    assert table.schema == SCHEMA
    assert table["prompt"].to_pylist() == [json.loads(row["prompt"]) for row in rows]
    assert table["label"].to_pylist() == [VERDICTS[n % 3] for n in range(700)]
    assert table["id"].to_pylist() == [str(n) for n in range(700)]
    assert set(table["file"].to_pylist()) == {str(tmp_path / f"x{suffix}")}


@pytest.mark.parametrize(("suffix", "codec"), [(".gz", "gzip"), (".zst", "zstd")])
def test_compressed_in_memory_and_by_glob(tmp_path: Path, suffix: str, codec: str):
    path = write(tmp_path / "x.jsonl", records(3))
    with pa.CompressedOutputStream(str(tmp_path / "packed"), codec) as file:
        file.write(path.read_bytes())
    memory = fsspec.filesystem("memory")
    memory.pipe(f"/battles/a.jsonl{suffix}", (tmp_path / "packed").read_bytes())
    try:
        table = load("memory://battles/*.jsonl*", tmp_path / "run")
        assert table["id"].to_pylist() == ["0", "1", "2"]
    finally:
        memory.rm("/battles", recursive=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (99, 101), (255, 700), (0, 700), (699, 700)])
def test_row_ranges(tmp_path: Path, suffix: str, start: int, stop: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(intake, "_GROUP_BYTES", 50_000)
    config = BattlesConfig(path=str(write(tmp_path / f"x{suffix}", records(700))))
    (file,) = take_in(config, tmp_path / "run").inputs
    table = read_rows(file, tmp_path / "run", start, stop, config)
    assert table.schema == SCHEMA
    assert table["row"].to_pylist() == list(range(start, stop))
    assert table["id"].to_pylist() == [str(n) for n in range(start, stop)]


def test_row_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(intake, "_GROUP_BYTES", 50_000)
    config = BattlesConfig(path=str(write(tmp_path / "x.csv", records(2000))))
    (file,) = take_in(config, tmp_path / "run").inputs
    metadata = pq.read_metadata(tmp_path / "run" / file.parquet)
    assert metadata.num_row_groups > 4
    assert list((tmp_path / "run" / "input").iterdir()) == [tmp_path / "run" / file.parquet]  # no temporary file


def test_a_folder_of_files_and_a_selection_over_all_of_them(tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "a.csv", records(12))
    write(folder / "b.jsonl", records(5, first=12))
    write(folder / "c.parquet", records(300, first=17))
    ids = [str(n) for n in range(317)]
    config = BattlesConfig(path=str(folder))
    result = take_in(config, tmp_path / "run")
    assert everything(result, tmp_path / "run", config)["id"].to_pylist() == ids
    assert [file.rows for file in result.inputs] == [12, 5, 300]
    assert [file.canonical for file in result.inputs] == [True, True, False]
    assert load(folder, tmp_path / "fold", fold=2)["id"].to_pylist() == ids[2::5]
    assert load(folder, tmp_path / "limit", limit=14)["id"].to_pylist() == ids[:14]
    sample = load(folder, tmp_path / "sample", sample=40, sample_seed=5)
    assert sample["id"].to_pylist() == sorted(set(sample["id"].to_pylist()), key=int)
    assert sample.num_rows == 40
    fold = load(folder, tmp_path / "rows", fold=2)
    assert fold["row"].to_pylist() == [2, 7, 0, *range(0, 300, 5)]  # of the record in its own file


def test_parquet_is_read_where_it_lies_unless_its_row_groups_are_huge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = BattlesConfig(path=str(write(tmp_path / "x.parquet", records(300))))
    (file,) = take_in(config, tmp_path / "run").inputs
    assert (file.parquet, file.canonical) == (str(tmp_path / "x.parquet"), False)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(intake, "_IN_PLACE_BYTES", 1000)
    (copy,) = take_in(config, tmp_path / "run").inputs
    assert (copy.parquet, copy.canonical) == ("input/00000.parquet", True)
    tables = [read_rows(either, tmp_path / "run", 90, 210, config) for either in (file, copy)]
    assert tables[0].equals(tables[1])


def test_what_we_wrote_can_be_taken_in_again(tmp_path: Path):
    first = load(write(tmp_path / "x.csv", records(30)), tmp_path / "run")
    columns = BattleColumns(label="label")
    path = tmp_path / "run" / "input" / "00000.parquet"
    again = load(path, tmp_path / "again", columns=columns)
    assert again.drop_columns("file").equals(first.drop_columns("file"))


def test_lists_in_parquet_are_turns(tmp_path: Path):
    rows = [{"prompt": ["q"], "response_a": ["[a"], "response_b": ["b", None]}]
    table = load(write(tmp_path / "x.parquet", rows), tmp_path / "run", turns=Turns.text)
    assert table.to_pylist()[0] | rows[0] == table.to_pylist()[0]
    assert table["label"].to_pylist() == [None]


UNEQUAL = "rows with unequal numbers of turns (kept as they are)"


def test_the_report(tmp_path: Path):
    rows = [
        record(0),
        record(1, prompt=r'["half \ud83d", "two"]', response_a=r'["\ude00"]'),
        record(2, prompt='["one"]'),
        record(3, response_b="oops"),
        record(4, **dict.fromkeys(NAMES[4:])),
    ]
    config = BattlesConfig(path=str(write(tmp_path / "x.jsonl", rows)), on_bad_row=OnBadRow.record)
    report = take_in(config, tmp_path / "run").report
    assert vars(report) == {
        "rows": 5,
        "chosen": 5,
        "counts": {"A": 2, "B": 1, "tie": 1, UNEQUAL: 2},
        "details": ["labels: 2 A, 1 B, 1 tie", "rows without a label: 1", f"{UNEQUAL}: 2"],
        "repaired_cells": 2,
        "bad_rows": 1,
        "has_ids": True,
        "first_only": False,
        "empty_files": 0,
    }
    assert str(report) == (
        "5 of 5 rows taken, with ids; labels: 2 A, 1 B, 1 tie; rows without a label: 1; rows with unequal numbers of "
        "turns (kept as they are): 2; cells repaired (half characters replaced by U+FFFD): 2; bad rows recorded: 1"
    )
    one = BattlesConfig(path=config.path, on_bad_row=OnBadRow.record, limit=1)
    assert (
        str(take_in(one, tmp_path / "one").report) == "1 of the first 1 rows taken, with ids; labels: 1 A, 0 B, 0 tie"
    )


def test_input_files_survive_json(tmp_path: Path):
    (file,) = take_in(BattlesConfig(path=str(write(tmp_path / "x.csv", records(3)))), tmp_path / "run").inputs
    assert InputFile(**json.loads(json.dumps(asdict(file)))) == file
    assert file.size == (tmp_path / "x.csv").stat().st_size


def test_bad_rows_are_refused_with_file_row_and_column(tmp_path: Path):
    rows = records(400)
    rows[17]["prompt"] = "plain text"
    rows[300].update(response_b="[]", winner_tie=1)
    path = write(tmp_path / "x.csv", rows)
    with pytest.raises(InputError) as error:
        take_in(BattlesConfig(path=str(path)), tmp_path / "run")
    message = str(error.value)
    assert message.startswith("rows that can't be used: 2")
    assert f"{path}, row 17, column prompt: malformed JSON" in message
    assert f"{path}, row 300, column response_b: an empty list of turns" in message
    assert f"{path}, row 300, column winner_model_a/winner_model_b/winner_tie: 1/0/1" in message
    assert "data.on_bad_row=record" in message
    assert "data.turns=text" in message


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("row", [5, 100, 600, 1100])
def test_bad_rows_that_are_not_chosen_do_not_matter(tmp_path: Path, suffix: str, row: int):
    rows = records(1200)
    rows[row] |= {"prompt": "[]", "id": "0"}
    path = write(tmp_path / f"x{suffix}", rows)
    assert load(path, tmp_path / "first", limit=5)["id"].to_pylist() == [str(n) for n in range(5)]
    fold = (row + 1) % 5
    assert load(path, tmp_path / "fold", fold=fold, limit=300)["row"].to_pylist() == list(range(fold, 1200, 5))
    with pytest.raises(InputError, match=f"row {row}, column prompt"):
        take_in(BattlesConfig(path=str(path), limit=row + 1), tmp_path / "run")
    rows[row]["prompt"] = rows[0]["prompt"]
    path = write(tmp_path / f"x{suffix}", rows)
    with pytest.raises(InputError, match=f"'0' .*row 0, .*row {row}"):
        take_in(BattlesConfig(path=str(path), limit=row + 1), tmp_path / "run")


@pytest.mark.parametrize(("name", "bad"), [("x.csv", "too,short\n"), ("x.jsonl", "{oops\n")])
@pytest.mark.parametrize("rows", [5, 600, 1100])
def test_what_is_malformed_behind_the_last_chosen_row_is_not_read(tmp_path: Path, name: str, bad: str, rows: int):
    path = write(tmp_path / name, records(rows))
    with path.open("a") as file:
        file.write(bad)
    assert load(path, tmp_path / "run", limit=5).num_rows == 5
    assert load(path, tmp_path / "all", limit=rows).num_rows == rows
    with pytest.raises(InputError, match=f"row {rows}|line {rows + 1}"):
        load(path, tmp_path / "more", limit=rows + 1)


def test_bad_rows_are_recorded(tmp_path: Path):
    rows = records(3)
    rows[1]["prompt"] = None
    table = load(write(tmp_path / "x.jsonl", rows), tmp_path / "run", on_bad_row=OnBadRow.record)
    assert table["error"].to_pylist() == [None, "prompt: null (or an empty cell), not a text", None]
    assert table["response_a"].null_count == 0


def test_a_wholly_wrong_config_is_refused_early(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", [record(n, prompt="text") for n in range(1500)])
    with pytest.raises(InputError, match=r"^rows that can't be used: at least 1024") as error:
        take_in(BattlesConfig(path=str(path)), tmp_path / "run")
    assert str(error.value).count("malformed JSON") == 5


@pytest.mark.parametrize(("ids", "message"), [(["1", "1"], "more than once"), (["1", None], "rows without an id")])
def test_ids_are_checked_across_files(tmp_path: Path, ids: list[Any], message: str):
    for name, value in zip(("a.csv", "b.jsonl"), ids, strict=True):
        write(tmp_path / name, [record(0, id=value)])
    with pytest.raises(InputError, match=f"{message}.*b.jsonl row 0"):
        load(f"{tmp_path}/*.*", tmp_path / "run")
    table = load(f"{tmp_path}/*.*", tmp_path / "run", columns=BattleColumns(id=None))
    assert table["id"].to_pylist() == [None, None]


def test_all_files_have_ids_or_none(tmp_path: Path):
    write(tmp_path / "a.jsonl", records(1))
    write(tmp_path / "b.jsonl", [{name: value for name, value in record(1).items() if name != "id"}])
    with pytest.raises(InputError, match=r"b\.jsonl: no column 'id', which .*a\.jsonl has"):
        load(str(tmp_path), tmp_path / "run")


def test_a_selection_without_rows_is_refused(tmp_path: Path):
    path = write(tmp_path / "x.csv", records(2))
    with pytest.raises(InputError, match="no row is chosen"):
        take_in(BattlesConfig(path=str(path), fold=4), tmp_path / "run")


def test_a_changed_source_is_noticed(tmp_path: Path):
    path = write(tmp_path / "x.parquet", records(10))
    config = BattlesConfig(path=str(path))
    (file,) = take_in(config, tmp_path / "run").inputs
    write(path, records(11))
    with pytest.raises(InputError, match="was changed"):
        read_rows(file, tmp_path / "run", 0, 10, config)


def test_a_damaged_run_folder_is_noticed(tmp_path: Path):
    config = BattlesConfig(path=str(write(tmp_path / "x.csv", records(10))))
    (file,) = take_in(config, tmp_path / "run").inputs
    path = tmp_path / "run" / file.parquet
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(RunFolderError, match="damaged"):
        read_rows(file, tmp_path / "run", 0, 10, config)
    path.unlink()
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_rows(file, tmp_path / "run", 0, 10, config)


def test_nothing_half_written_is_left(tmp_path: Path):
    path = write(tmp_path / "x.csv", records(600))
    with path.open("a") as file:
        file.write('"left open\n' + ",".join(NAMES) + "\n")
    with pytest.raises(InputError, match=r"row 600 \(ends in line 603\): malformed CSV"):
        load(path, tmp_path / "run")
    assert list((tmp_path / "run" / "input").iterdir()) == []
