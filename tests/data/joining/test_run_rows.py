"""Rows of a run come back in the order of its input, whether asked, remembered or repeated."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from lib.data.joining.keys import ANSWERED, KEY
from lib.data.joining.missing_rows import NOT_YET
from lib.data.joining.run_rows import first_remembered, result_columns, run_rows
from lib.data.reading.input_file import read_ids
from lib.data.rows.battles import BattlesConfig
from lib.engines.dummy import DummyConfig
from lib.errors import RunFailed, RunFolderError
from lib.pipeline.executors.inline import InlineConfig
from lib.pipeline.run import Recipe, Run
from lib.pipeline.run_config import RunConfig
from lib.store.store import StoreConfig
from lib.tasks.pairwise import Pairwise
from tests.pipeline.conftest import CONFIG, PROMPT

Battles = Callable[..., Path]
TEXTS = dict(enumerate(["old 1", "new", "old 2", "new", "old 1", "newer", "new"]))


@pytest.fixture
def run(battles: Battles, tmp_path: Path) -> Run:
    """A finished run: two rows of seven are asked, three are remembered, two repeated."""

    def finished(name: str, texts: dict[int, str]) -> Run:
        path = battles(len(texts), texts, f"{name}.csv")
        lines = path.read_text().splitlines()
        # responses of the rows differ by their numbers; here they don't
        same = [",".join([*line.split(",")[:2], '"[""a""]","[""b""]"', "1,0,0"]) for line in lines[1:]]
        path.write_text("\n".join([lines[0], *same]) + "\n")
        config = RunConfig(dir=str(tmp_path / name), shard_rows=1)
        recipe = Recipe(
            data=BattlesConfig(path=str(path)), engine=DummyConfig(max_model_len=512), task=Pairwise(CONFIG, PROMPT)
        )
        found = Run.open("judge", config, recipe, store=StoreConfig(dir=str(tmp_path / "store")))
        found.work(InlineConfig())
        return found

    finished("first", {0: "old 2", 1: "old 1"})
    found = finished("second", TEXTS)
    (file,) = found.manifest.inputs
    assert (file.asked, file.remembered, file.repeated) == (2, 3, 2)
    return found


def test_rows_are_there_once_in_their_order_and_equals_have_equal_results(run: Run) -> None:
    found = pa.concat_tables(run_rows(run.manifest, run.folder))
    assert found["row"].to_pylist() == list(range(7))
    assert found["id"].to_pylist() == [str(1000 + row) for row in range(7)]
    assert found.schema.equals(result_columns(run.manifest, run.folder), check_metadata=False)
    assert not {KEY, ANSWERED}.intersection(found.column_names)
    by_text: dict[str, set[float]] = {}
    for row, value in enumerate(found["p_a"].to_pylist()):
        by_text.setdefault(TEXTS[row], set()).add(value)
    assert [len(values) for values in by_text.values()] == [1] * 4
    assert len(set.union(*by_text.values())) == 4
    assert not list(run.folder.glob("merge-*"))


def test_ids_are_those_of_all_rows_in_their_order(run: Run) -> None:
    (file,) = run.manifest.inputs
    found = pa.chunked_array(read_ids(file, run.folder, run.data))
    assert found.to_pylist() == [str(1000 + row) for row in range(7)]


def test_the_first_remembered_rows(run: Run) -> None:
    known = first_remembered(run.manifest, run.folder)
    assert known is not None
    assert known["row"].to_pylist() == [0, 2, 4]


@pytest.mark.parametrize("name", ["remembered", "repeated"])
def test_a_damaged_or_missing_file_is_named(run: Run, name: str) -> None:
    (path,) = (run.folder / name).iterdir()
    content = bytearray(path.read_bytes())
    content[100:110] = bytes(10)
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=rf"{name}/.*parquet: damaged"):
        list(run_rows(run.manifest, run.folder))
    path.unlink()
    with pytest.raises(RunFolderError, match=rf"{name}/.*parquet: cannot be read"):
        list(run_rows(run.manifest, run.folder))
    assert not list(run.folder.glob("merge-*"))


@pytest.mark.parametrize("left", [0, 1])
def test_rows_of_shards_that_are_not_done_say_so(run: Run, left: int) -> None:
    """They and those that ask the same; all others are as in the end."""
    whole = pa.concat_tables(run_rows(run.manifest, run.folder)).to_pylist()
    (run.folder / run.manifest.shards()[left].path).unlink()
    found = pa.concat_tables(run_rows(run.manifest, run.folder, {left})).to_pylist()
    missing = ["new", "newer"][left]
    for row, (part, end) in enumerate(zip(found, whole, strict=True)):
        if TEXTS[row] == missing:
            assert part["error"] == NOT_YET
            assert (part["file"], part["row"], part["id"], part["p_a"]) == (end["file"], row, end["id"], None)
        else:
            assert part == end


def test_shards_of_another_run_do_not_answer_what_is_repeated(run: Run, tmp_path: Path) -> None:
    first, second = run.manifest.shards()
    shutil.copy(run.folder / second.path, run.folder / first.path)
    with pytest.raises(RunFailed, match="of 2 repeated rows the answer is in no shard"):
        list(run_rows(run.manifest, run.folder))
