"""Answers of finished shards come into the store, once, and a store that can't be written stops no run."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data.rows.battles import BattlesConfig
from lib.data.run_folder import STORED
from lib.data.shards import commit
from lib.engines.dummy import DummyConfig
from lib.errors import RunFolderError
from lib.pipeline.array import ArrayConfig
from lib.pipeline.executors.inline import InlineConfig
from lib.pipeline.run import Recipe, Run
from lib.pipeline.run_config import RunConfig
from lib.pipeline.worker import Worker, dead_row
from lib.store.answer_table import AnswerTable
from lib.store.store import Store, StoreConfig
from lib.store.upkeep import prune
from lib.tasks.pairwise import Pairwise
from tests.pipeline.conftest import CONFIG, PROMPT
from tests.running import Job

Battles = Callable[..., Path]
Open = Callable[..., Run]


@pytest.fixture
def open_run(battles: Battles, tmp_path: Path) -> Open:
    """Open a run over 300 battles, the 8th of which fails; the same one each time, unless `name` is another."""
    path = battles(300, {7: "POISON"})

    def make(store: str | None = "store", name: str = "run", rows: int | None = None) -> Run:
        config = RunConfig(dir=str(tmp_path / name), shard_rows=10, max_error_rate=1)
        engine = DummyConfig(max_model_len=512, fail_on="POISON")
        recipe = Recipe(data=BattlesConfig(path=str(path), limit=rows), engine=engine, task=Pairwise(CONFIG, PROMPT))
        return Run.open("judge", config, recipe, store=StoreConfig(dir=store and str(tmp_path / store)))

    return make


def table_of(run: Run) -> AnswerTable:
    assert run.answers is not None
    return run.answers


def kept(run: Run) -> list[int]:
    """Rows of the run's segments."""
    return [segment.rows for segment in table_of(run).segments()]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file gets longer than that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_answers_are_kept_once_and_failed_rows_are_not(open_run: Open) -> None:
    run = open_run()
    run.work(InlineConfig())
    assert kept(run) == [299]
    open_run().work(InlineConfig())
    assert kept(run) == [299]
    again = open_run(name="again")
    assert (again.manifest.asked, again.manifest.inputs[0].remembered) == (1, 299)


def test_a_full_disk_stops_no_run_and_the_same_line_puts_them_there_later(
    open_run: Open, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run()
    with full_disk(12_000):  # a shard is smaller, all answers are not
        run.work(InlineConfig())
    assert "answers cannot be kept (" in caplog.text
    assert "run the same line again: that puts them there" in caplog.text
    assert kept(run) == []
    assert [path.name for path in table_of(run).folder.iterdir() if path.suffix != ".json"] == []
    assert run.merge().rows == 300
    open_run().work(InlineConfig())
    assert kept(run) == [299]


def test_a_run_that_is_older_than_the_store_or_gets_another_one_fills_it(open_run: Open, tmp_path: Path) -> None:
    open_run(store=None).work(InlineConfig())
    assert not (tmp_path / "run" / STORED).exists()
    for name in ("one", "other"):
        run = open_run(store=name)
        run.work(InlineConfig())
        assert kept(run) == [299]


def test_a_shard_that_is_done_again_is_kept_again(open_run: Open) -> None:
    run = open_run(rows=20)
    worker, (first, second) = Worker(run), run.manifest.shards()
    failed = [dead_row(run, first, row, "the machine was not well") for row in range(10)]
    commit(pa.concat_tables(failed), first, run.manifest, run.folder, seconds=1)
    run.keep([worker.process(second)])
    run.keep(run.unfinished()[1])
    assert kept(run) == [10]
    assert worker.process(first).failed == 1
    with run._keeper(ArrayConfig()) as keeper:
        keeper.add(0)
    assert kept(run) == [10]
    with run._keeper(ArrayConfig()) as keeper:
        keeper.add(0, afresh=True)
    assert sorted(kept(run)) == [9, 10]


def test_what_one_element_of_an_array_has_kept_the_others_do_not_keep_again(open_run: Open) -> None:
    run = open_run(rows=40)
    for element in (0, 1):
        run.work(InlineConfig(), ArrayConfig(element=f"{element}/2"))
    assert sum(kept(run)) == 39
    open_run(rows=40).work(InlineConfig())
    assert sum(kept(run)) == 39


@pytest.mark.parametrize("content", ["", "[]", "{", '{"store": 1}', '{"store": "STORE", "shards": [[0, "x"]]}'])
def test_a_damaged_list_of_what_is_kept_costs_twice_the_room_and_no_answer(
    open_run: Open, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(rows=20)
    run.work(InlineConfig())
    (run.folder / STORED).write_text(content.replace("STORE", str(table_of(run).folder)))
    open_run(rows=20).work(InlineConfig())
    assert kept(run) == [19, 19]
    assert open_run(name="again").manifest.asked == 281


def test_a_damaged_shard_is_named(open_run: Open) -> None:
    run = open_run(store=None, rows=20)
    run.work(InlineConfig())
    path = run.folder / run.manifest.shards()[1].path
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    (answers,) = (column for column in columns if column.path_in_schema.startswith("ab_logprobs"))
    content = bytearray(path.read_bytes())
    content[answers.data_page_offset + answers.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"shard-00000001.parquet: damaged"):
        open_run(rows=20).work(InlineConfig())


def test_a_finished_run_fills_the_store_by_the_same_line(battles: Battles, tmp_path: Path, quick_job: Job) -> None:
    line = ["data=arena", f"data.path={battles(20)}", "engine=dummy", "executor=inline", f"run.dir={tmp_path / 'run'}"]
    line.append(f"store.dir={tmp_path / 'store'}")
    quick_job("judge", *line)
    (table,) = Store.at(tmp_path / "store").tables()
    assert prune(table, None)[0] == 20
    (tmp_path / "run" / STORED).unlink()  # as where the disk was full
    assert "finished before" in quick_job("judge", *line).stdout
    assert [segment.rows for segment in table.segments()] == [20]
