"""How rows are divided, what is said of it, and what holds although few rows are asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lib.data.reading.input_file import EQUALS
from lib.data.rows.base import OnBadRow
from lib.data.rows.battles import BattlesConfig
from lib.data.rows.table import TableConfig, open_table
from lib.data.run_folder import INPUT, REMEMBERED, REPEATED, RESULT
from lib.engines.dummy import DummyConfig
from lib.errors import ConfigError, StoreError
from lib.pipeline.executors.inline import InlineConfig
from lib.pipeline.run import Recipe, Run
from lib.pipeline.run_config import RunConfig
from lib.store.store import Store, StoreConfig
from lib.tasks.embedding import Embed, EmbedConfig
from lib.tasks.generation import Generate
from lib.tasks.pairwise import Pairwise, PairwiseConfig
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.tasks.sampling import SamplingConfig
from tests.pipeline.conftest import PROMPT

Battles = Callable[..., Path]
Judge = Callable[..., Run]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Judge a file in a new folder, with a store."""
    count = 0

    def make(path: Path, store: str | None = "store", *, mass: float = 0.0, work: bool = True, **data: Any) -> Run:
        nonlocal count
        count += 1
        config = RunConfig(dir=str(tmp_path / f"run-{count}"), shard_rows=5, max_error_rate=1)
        recipe = Recipe(
            data=BattlesConfig(path=str(path), **data),
            engine=DummyConfig(max_model_len=512),
            task=Pairwise(PairwiseConfig(min_label_mass=mass), PROMPT),
        )
        run = Run.open("judge", config, recipe, store=StoreConfig(dir=store and str(tmp_path / store)))
        if work:
            run.work(InlineConfig())
            run.merge()
        return run

    return make


def counts(run: Run) -> tuple[int, int, int]:
    manifest = run.manifest
    return manifest.asked, sum(file.remembered for file in manifest.inputs), manifest.repeated


def files(run: Run) -> dict[str, int]:
    """How many files each folder has that planning made."""
    return {name: len(list((run.folder / name).glob("*"))) for name in (INPUT, REMEMBERED, REPEATED)}


def test_growth_change_and_removal_are_counted_and_said(
    battles: Battles, judge: Judge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert counts(judge(battles(30))) == (30, 0, 0)
    assert counts(judge(battles(40))) == (10, 30, 0)
    assert "30 of 40 rows are remembered from earlier runs; 10 to do" in caplog.text
    assert "are gone or were changed" not in caplog.text
    run = judge(battles(25, {3: "another question"}))
    assert counts(run) == (1, 24, 0)
    assert "at least 16 rows that it asked about are gone or were changed, or had failed" in caplog.text
    assert files(run) == {INPUT: 1, REMEMBERED: 1, REPEATED: 0}
    assert files(judge(battles(40))) == {INPUT: 1, REMEMBERED: 1, REPEATED: 0}


def test_parquet_in_place_stays_there_until_rows_of_it_are_known(
    battles: Battles, judge: Judge, tmp_path: Path
) -> None:
    from pyarrow import csv

    pq.write_table(csv.read_csv(battles(20)), tmp_path / "b.parquet")
    run = judge(tmp_path / "b.parquet")
    assert files(run) == {INPUT: 0, REMEMBERED: 0, REPEATED: 0}
    again = judge(tmp_path / "b.parquet")
    assert counts(again) == (0, 20, 0)
    assert not run.manifest.inputs[0].canonical
    assert again.manifest.inputs[0].canonical
    assert pq.read_table(run.folder / RESULT).equals(pq.read_table(again.folder / RESULT))


def test_bad_rows_ask_nothing_and_are_nobodys_equals(battles: Battles, judge: Judge) -> None:
    path = battles(12)
    lines = path.read_text().splitlines()
    for row in (3, 7):
        lines[1 + row] = f"{1000 + row},no json,,,1,0,0"
    path.write_text("\n".join(lines) + "\n")
    first, second = (judge(path, on_bad_row=OnBadRow.record) for _ in range(2))
    assert counts(first) == (12, 0, 0)
    assert counts(second) == (2, 10, 0)
    assert pq.read_table(first.folder / RESULT).equals(pq.read_table(second.folder / RESULT))


def test_remembered_rows_speak_against_a_run_as_its_first_shard_would(battles: Battles, judge: Judge) -> None:
    path = battles(20)
    judge(path)
    with pytest.raises(ConfigError, match=r"label mass .*less than judge.min_label_mass=0.999"):
        judge(path, mass=0.999)
    with pytest.raises(ConfigError, match=r"label mass .*less than judge.min_label_mass=0.999"):
        judge(battles(21), mass=0.999)
    masses = sorted(pq.read_table(judge(battles(100)).folder / RESULT)["label_mass"].to_pylist())
    assert masses[0] < masses[10] < masses[50]
    some = judge(battles(101), mass=masses[10], work=False)  # one row is asked, however unlikely its labels are
    some.check_first(pq.read_table(judge(battles(100)).folder / RESULT).sort_by("label_mass").slice(0, 1))


def test_the_columns_of_ours_are_no_users(tmp_path: Path) -> None:
    rows = "".join(f'{{"id": "{n}", "question": "hello", "equals": {n}, "number": {n}}}\n' for n in range(3))
    (tmp_path / "t.jsonl").write_text(rows)
    task = Generate(
        SamplingConfig(temperature=1.0, max_new_tokens=8), PromptConfig(template="{question}", chat=Chat.never)
    )
    engine = DummyConfig(max_model_len=64)
    config = TableConfig(path=str(tmp_path / "t.jsonl"), carry=["equals", "number"])
    run = Run.open(
        "generate",
        RunConfig(dir=str(tmp_path / "run")),
        Recipe(data=open_table(config, task.fields), engine=engine, task=task),
    )
    run.work(InlineConfig())
    run.merge()
    found = pq.read_table(run.folder / RESULT)
    assert found.select(["equals", "number"]).to_pydict() == {name: ["0", "1", "2"] for name in ("equals", "number")}
    assert len(set(found["seed"].to_pylist())) == 3

    (tmp_path / "t.jsonl").write_text(rows.replace("equals", EQUALS))
    config = TableConfig(path=str(tmp_path / "t.jsonl"), carry=[EQUALS])
    with pytest.raises(ConfigError, match=f"data.carry: {EQUALS} is also a column of this job's result or shards"):
        Run.open(
            "generate",
            RunConfig(dir=str(tmp_path / "other")),
            Recipe(data=open_table(config, task.fields), engine=engine, task=task),
        )


def test_prompts_that_are_urls_are_different_questions(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,question\na,hello\nb,you\n")
    vectors = []
    for name in ("a", "b"):
        task = Embed(EmbedConfig(text=f"http://host/page?{name}={{question}}"), "", 16)
        data = open_table(TableConfig(path=str(tmp_path / "t.csv")), task.fields)
        run = Run.open(
            "embed",
            RunConfig(dir=str(tmp_path / name)),
            Recipe(data=data, engine=DummyConfig(max_model_len=64), task=task),
            store=StoreConfig(dir=str(tmp_path / "store")),
        )
        run.work(InlineConfig())
        run.merge()
        vectors.append(pq.read_table(run.folder / RESULT)["vector"])
    assert not vectors[0].equals(vectors[1])
    assert len(list(Store.at(tmp_path / "store").tables())) == 2


def test_rows_without_slots_ask_the_same(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(20)))
    prompt = PromptConfig(template="Write a poem.", chat=Chat.never)
    for temperature, wanted in ((0.0, (1, 0, 19)), (1.0, (20, 0, 0)), (1.0, (0, 20, 0))):
        task = Generate(SamplingConfig(temperature=temperature, max_new_tokens=8), prompt)
        run = Run.open(
            "generate",
            RunConfig(dir=str(tmp_path / f"run-{temperature}-{wanted[0]}")),
            Recipe(
                data=open_table(TableConfig(path=str(tmp_path / "t.csv")), task.fields),
                engine=DummyConfig(max_model_len=64),
                task=task,
            ),
            store=StoreConfig(dir=str(tmp_path / "store")),
        )
        assert counts(run) == wanted
        run.work(InlineConfig())
        assert run.merge().rows == 20


def test_a_store_that_cannot_be_written_is_refused_before_anything_is_asked(
    battles: Battles, judge: Judge, tmp_path: Path
) -> None:
    path = battles(5)
    judge(path)
    (folder,) = (place for place in (tmp_path / "store").iterdir() if place.is_dir())
    folder.rename(tmp_path / "away")
    folder.write_text("a file in the folder's place")
    with pytest.raises(StoreError, match=r"store.dir=.*: cannot be written"):
        judge(path)
    assert counts(judge(path, store=None)) == (5, 0, 0)


def test_a_store_that_gets_full_while_planning_stops_no_run(
    battles: Battles, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import resource

    from lib.store import answer_table

    path = battles(5)
    judge(path)
    before, note = resource.getrlimit(resource.RLIMIT_FSIZE), answer_table.write_text

    def on_a_full_disk(path: Path, text: str) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        try:
            note(path, text)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    monkeypatch.setattr(answer_table, "write_text", on_a_full_disk)
    assert counts(judge(path)) == (0, 5, 0)
    assert "so the store does not know of this run; it goes on" in caplog.text
