from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

import lib
from conf import SAMPLES
from lib.config import identity
from lib.data.reading.input_file import read_rows
from lib.data.reading.intake import take_in
from lib.data.rows.base import OnBadRow
from lib.data.rows.battles import BattleColumns, BattlesConfig, Turns
from lib.errors import ConfigError, InputError

ROOT = Path(lib.__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
ARENA = ["id", "model_a", "model_b", "prompt", "response_a", "response_b"]
WINNERS = ["winner_model_a", "winner_model_b", "winner_tie"]

LABELS = ("A", "B", "tie")


def from_yaml(name: str, **changes: Any) -> BattlesConfig:
    values = OmegaConf.load(ROOT / "conf" / "data" / f"{name}.yaml")
    assert values.pop("defaults") == ["/schema/data/battles@_here_", "_self_"]
    schema = OmegaConf.structured(BattlesConfig)
    for node in (schema, schema.columns):  # of frozen dataclasses, and so read-only
        OmegaConf.set_readonly(node, None)
    config = OmegaConf.to_object(OmegaConf.merge(schema, values, changes))
    assert isinstance(config, BattlesConfig)
    return config


def test_arena_yaml_shows_the_defaults():
    assert from_yaml("arena", path="x.csv") == BattlesConfig(path="x.csv")
    with pytest.raises(MissingMandatoryValue, match="path"):
        from_yaml("arena")


@pytest.mark.parametrize(
    ("name", "file", "rows", "labels", "ids"),
    [
        ("arena", "arena_kaggle/train_first100.csv", 100, (31, 33, 36), True),
        ("arena", "arena_kaggle/test.csv", 3, (0, 0, 0), True),
        ("autoj", "autoj/testdata_pairwise.jsonl", 1392, (520, 499, 373), False),
        ("rakuda", "rakuda/reviews_gpt4_2023-07-14.jsonl", 800, (356, 370, 74), True),
    ],
)
def test_configs_of_real_files(tmp_path: Path, name: str, file: str, rows: int, labels: tuple[int, ...], ids: bool):
    path = SHARED / file
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    report = take_in(from_yaml(name, path=str(path)), tmp_path).report
    counts = tuple(report.counts[label] for label in LABELS)
    assert (report.rows, report.chosen, counts, report.has_ids) == (rows, rows, labels, ids)
    assert report.bad_rows == report.repaired_cells == 0


def test_the_sample_battles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    report = take_in(from_yaml("sample", path=str(SAMPLES / "battles.csv")), tmp_path).report
    counts = tuple(report.counts[label] for label in LABELS)
    assert (report.rows, counts, report.has_ids) == (20, (9, 7, 4), True)


def test_identity_is_all_but_the_path():
    config = BattlesConfig(path="a", turns=Turns.text, on_bad_row=OnBadRow.record)
    keys = identity(config)
    assert "path" not in keys
    assert (keys["turns"], keys["on_bad_row"], keys["columns"]["id"]) == ("text", "record", "id")
    assert keys != identity(BattlesConfig(path="a", turns=Turns.text))


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("label_values", {"label_values": ["0", "1"]}),
        ("label_values", {"label_values": ["0", "1", "1"]}),
        ("limit", {"limit": 0}),
        ("sample", {"sample": -3}),
        ("folds", {"folds": 0}),
        ("fold", {"fold": 5}),
        ("fold", {"fold": -1}),
        ("sample_seed", {"sample_seed": -1}),
    ],
)
def test_values_that_cannot_be(key: str, change: dict[str, Any]):
    with pytest.raises(ConfigError, match=f"data.{key}="):
        BattlesConfig(path="x", **change)


@pytest.mark.parametrize(
    "columns",
    [
        {"response_b": "response_a"},
        {"id": "prompt"},
        {"winner_tie": "winner_model_b"},
        {"label": "response_b"},
    ],
)
def test_a_column_has_one_role(columns: dict[str, Any]):
    with pytest.raises(ConfigError, match=r"data\.columns\.\w+=\w+: is the column of \w+, too"):
        BattleColumns(**columns)


def test_a_label_may_be_called_as_a_winner_that_is_not_read():
    assert BattleColumns(label="winner_tie").label == "winner_tie"


@pytest.mark.parametrize(
    ("names", "columns", "present"),
    [
        ([*ARENA, *WINNERS], {}, [*ARENA, *WINNERS]),
        (["prompt", "response_a", "response_b", "other", "other"], {}, ["prompt", "response_a", "response_b"]),
        ([*ARENA, *WINNERS], {"id": None}, [*ARENA[1:], *WINNERS]),
        ([*ARENA, *WINNERS, "gold"], {"label": "gold"}, [*ARENA, "gold"]),
        ([*ARENA, "winner_tie", "gold"], {"label": "gold"}, [*ARENA, "gold"]),
    ],
)
def test_present_columns(names: list[str], columns: dict[str, Any], present: list[str]):
    config = BattlesConfig(path="x", columns=BattleColumns(**columns))
    assert set(config.present_columns(names, "x.csv")) == set(present)


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        (ARENA[:-1], {}, r"column 'response_b' is missing; the columns are \['id', .*data\.columns\.response_b=NAME"),
        (ARENA, {"prompt": "question"}, r"column 'question' is missing.*data\.columns\.prompt"),
        (ARENA, {"id": "question_id"}, r"column 'question_id' is missing.*data\.columns\.id"),
        (ARENA, {"label": "gold"}, r"column 'gold' is missing.*data\.columns\.label"),
        ([*ARENA, *WINNERS[:2]], {}, r"column 'winner_tie' is missing.*data\.columns\.winner_tie"),
        ([*ARENA, "id"], {}, r"column 'id' is there twice"),
        ([*ARENA, "prompt"], {}, r"column 'prompt' is there twice"),
    ],
)
def test_columns_that_do_not_fit(names: list[str], columns: dict[str, Any], message: str):
    config = BattlesConfig(path="x", columns=BattleColumns(**columns))
    with pytest.raises(InputError, match=f"^x.csv: {message}"):
        config.present_columns(names, "x.csv")


def test_carried_columns_are_read_by_columns_and_by_cells_alike(tmp_path: Path):
    config = BattlesConfig(path="x", turns=Turns.text, carry=["language", "grade"])
    texts = {"prompt": ["p", "q"], "response_a": ["a", "b"], "response_b": ["c", "d"]}
    cells: dict[str, Any] = {**texts, "language": ["en", None], "grade": [1, 2]}
    by_cell, by_column = config.canonical(cells, "x", 0), config.columnar(pa.RecordBatch.from_pydict(cells), "x", 0)
    assert by_cell.table.equals(by_column)
    assert by_column.select(["language", "grade"]).to_pydict() == {"language": ["en", None], "grade": ["1", "2"]}
    assert set(config.carry) <= set(config.carried) <= set(config.schema.names)
    bad = config.canonical({**cells, "grade": [1, ["x"]]}, "x", 0).bad
    assert [(cell.row, cell.column) for cell in bad] == [(1, "grade")]


@pytest.mark.parametrize(
    ("carry", "message"),
    [
        (["prompt"], "prompt: what rows and results call columns of their own; leave it out"),
        (["x", "x"], "a column is there twice"),
    ],
)
def test_columns_that_cannot_be_carried(carry: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        BattlesConfig(path="x", carry=carry)


def test_a_carried_column_must_be_there():
    with pytest.raises(InputError, match=r"f.csv: column 'topic' of data.carry is not there once; the columns are"):
        BattlesConfig(path="x", carry=["topic"]).present_columns(ARENA, "f.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_reference_is_a_text_of_the_battle(suffix: str, tmp_path: Path) -> None:
    texts = {"prompt": ["p", "q"], "response_a": ["a", "c"], "response_b": ["b", "d"], "right": ["r", "s"]}
    table = pa.table({"id": ["x", "y"], **texts})
    path = tmp_path / f"battles.{suffix}"
    pacsv.write_csv(table, path) if suffix == "csv" else pq.write_table(table, path)
    config = BattlesConfig(path=str(path), turns=Turns.text, columns=BattleColumns(reference="right"))
    (file,) = take_in(config, tmp_path / "run").inputs
    rows = read_rows(file, tmp_path / "run", 0, 2, config)
    assert rows["reference"].to_pylist() == [["r"], ["s"]]
    assert list(config.content) == ["prompt", "response_a", "response_b", "reference"]
    with pytest.raises(InputError, match="'right' is missing"):
        config.present_columns([*ARENA, *WINNERS], "x")


def test_a_reference_changes_what_is_identified_only_where_there_is_one() -> None:
    assert "reference" not in identity(BattlesConfig(path="x"))["columns"]
    named = BattlesConfig(path="x", columns=BattleColumns(reference="right"))
    assert identity(named)["columns"]["reference"] == "right"
    with pytest.raises(ConfigError, match="is the column of"):
        BattleColumns(reference="prompt")
