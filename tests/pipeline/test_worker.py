from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lib.data.joining.keys import ANSWERED
from lib.data.rows.base import OnBadRow
from lib.data.shards import read_footer
from lib.engines.dummy import DummyConfig
from lib.errors import ConfigError, EngineError
from lib.pipeline.executors.inline import InlineConfig
from lib.pipeline.outcomes.run_details import run_details
from lib.pipeline.worker import Worker, dead_row
from lib.tasks.base import Prepared
from lib.tasks.pairwise import Pairwise
from lib.tasks.prompts.prompt import Chat
from lib.tasks.sampling import SamplingConfig
from lib.tasks.written.written_verdict import WrittenVerdict
from lib.types import KEY, Tokenizer
from tests.pipeline.conftest import CONFIG, PROMPT, Plan

CARRIED = ("file", "row", "id", "model_a", "model_b", "question", "label")

Battles = Callable[..., Path]
MARKED = {3: "BOOM", 4: "fine", 16: "BOOM", 17: "BOOM"}


@dataclass(frozen=True)
class Brittle(Pairwise):
    """Judges, but raises where one of the prompts is BOOM."""

    error: Exception

    def prepare(self, rows: pa.Table, tokenizer: Tokenizer, max_tokens: int) -> Prepared:
        if ["BOOM"] in rows["prompt"].to_pylist():
            raise self.error
        return super().prepare(rows, tokenizer, max_tokens)


def test_a_row_that_raises_is_isolated_and_its_neighbours_are_answered(battles: Battles, plan: Plan) -> None:
    path = battles(20, MARKED)
    spec = plan(path, Brittle(CONFIG, PROMPT, ValueError("no such thing")))
    worker, shards = Worker(spec), spec.manifest.shards()
    found = pa.concat_tables([worker.answer(shard, shard.start, shard.stop) for shard in shards])
    errors = {row: error for row, error in enumerate(found["error"].to_pylist()) if error is not None}
    assert errors == dict.fromkeys((3, 16, 17), "ValueError: no such thing")
    assert found["row"].to_pylist() == list(range(20))

    plain = plan(path, name="plain")
    whole = pa.concat_tables([Worker(plain).answer(shard, shard.start, shard.stop) for shard in shards])
    answered = pa.array([row not in errors for row in range(20)])
    assert found.filter(answered).equals(whole.filter(answered))
    for name in spec.task.schema.names:
        assert found[name].filter(pa.array([row in errors for row in range(20)])).null_count == 3
    assert found.select(CARRIED).equals(whole.select(CARRIED))


@pytest.mark.parametrize("error", [OSError("disk full"), MemoryError("no memory"), EngineError("the GPU is gone")])
def test_what_is_no_rows_fault_is_raised(error: Exception, battles: Battles, plan: Plan) -> None:
    spec = plan(battles(20, MARKED), Brittle(CONFIG, PROMPT, error))
    shard = spec.manifest.shards()[0]
    with pytest.raises(type(error), match=str(error)):
        Worker(spec).process(shard)
    assert not list((spec.folder / "shards").rglob("*.parquet"))
    worker = Worker(spec)
    assert worker.answer(shard, 4, 10)["error"].null_count == 6  # the worker itself can go on


@dataclass(frozen=True)
class Dissatisfied(Pairwise):
    """Judges, but is not satisfied with what it is shown."""

    def check_first(self, results: pa.Table) -> None:
        raise ConfigError(f"{results.num_rows} rows in vain")


def test_the_first_shard_speaks_for_the_run_and_no_other(battles: Battles, plan: Plan) -> None:
    spec = plan(battles(20), Dissatisfied(CONFIG, PROMPT))
    first, second = spec.manifest.shards()
    with pytest.raises(ConfigError, match="10 rows in vain"):
        Worker(spec).process(first)
    assert Worker(spec).process(second).rows == 10
    assert [path.name for path in (spec.folder / "shards").rglob("*.parquet")] == [second.file_name]


def test_bad_rows_of_the_input_keep_their_reason(battles: Battles, plan: Plan) -> None:
    path = battles(20, {5: "UNREADABLE", 11: "UNREADABLE", 12: "BOOM"})
    path.write_text(path.read_text().replace('"[""UNREADABLE""]"', "[oops"))
    spec = plan(path, Brittle(CONFIG, PROMPT, ValueError("boom")), on_bad_row=OnBadRow.record)
    worker, shards = Worker(spec), spec.manifest.shards()
    found = pa.concat_tables([worker.answer(shard, shard.start, shard.stop) for shard in shards]).to_pylist()
    assert [row["row"] for row in found] == list(range(20))
    failed = {row["row"]: row["error"] for row in found if row["error"] is not None}
    assert failed.keys() == {5, 11, 12}
    assert failed[5] == failed[11]
    assert failed[5].startswith("prompt: malformed JSON")
    assert failed[12] == "ValueError: boom"
    assert all((row["p_a"] is None) == (row["row"] in failed) for row in found)
    assert found[5]["id"] == "1005"


def test_a_shard_of_bad_rows_only(battles: Battles, plan: Plan) -> None:
    path = battles(4, dict.fromkeys(range(4), "UNREADABLE"))
    path.write_text(path.read_text().replace('"[""UNREADABLE""]"', "[oops"))
    spec = plan(path, on_bad_row=OnBadRow.record)
    footer = Worker(spec).process(spec.manifest.shards()[0])
    assert (footer.rows, footer.failed, footer.tokens) == (4, 4, 0)


def test_process_commits_the_whole_shard(battles: Battles, plan: Plan) -> None:
    spec = plan(battles(25, {14: "BOOM"}), Brittle(CONFIG, PROMPT, ValueError("boom")))
    worker, (_, shard, last) = Worker(spec), spec.manifest.shards()
    footer = worker.process(shard)
    assert (footer.shard, footer.rows, footer.failed) == (1, 10, 1)
    assert footer == read_footer(shard, spec.manifest, spec.folder)
    (file,) = (spec.folder / "shards").rglob("*.parquet")
    table = pq.read_table(file)
    assert table["row"].to_pylist() == list(range(10, 20))
    assert table.column_names == [*CARRIED, *spec.task.schema.names, "error", KEY, ANSWERED]
    assert table["tokens"].is_valid().to_pylist() == table[ANSWERED].to_pylist() == [n != 4 for n in range(10)]
    assert footer.tokens == sum(filter(None, table["tokens"].to_pylist())) > 0
    assert worker.process(last).rows == 5


def test_each_asked_row_has_its_key_and_says_whether_it_was_answered(battles: Battles, plan: Plan) -> None:
    path = battles(20, {17: "POISON", 18: "UNREADABLE"})
    path.write_text(path.read_text().replace("Question number 16?", "Question number 3?")
                    .replace("answer 16", "answer 3").replace("answer 112", "answer 21")
                    .replace('"[""UNREADABLE""]"', "[oops"))  # fmt: skip
    spec = plan(path, name="keys", on_bad_row=OnBadRow.record)
    spec = replace(spec, engine=DummyConfig(max_model_len=512, fail_on="POISON"))
    assert (spec.manifest.rows, spec.manifest.asked, spec.manifest.repeated) == (20, 19, 1)
    tables = [Worker(spec).answer(shard, shard.start, shard.stop) for shard in spec.manifest.shards()]
    table = pa.concat_tables(tables)
    assert table["row"].to_pylist() == [row for row in range(20) if row != 16]
    assert table.filter(pc.is_null(table[KEY]))["row"].to_pylist() == [18]
    assert table.filter(pc.invert(table[ANSWERED]))["row"].to_pylist() == [17, 18]
    assert len(set(table[KEY].to_pylist())) == 19


def test_an_answer_that_is_of_no_use_is_kept_with_its_key(battles: Battles, plan: Plan) -> None:
    drawn = SamplingConfig(temperature=1.0, max_new_tokens=8)
    spec = plan(battles(20), WrittenVerdict(CONFIG, drawn, PROMPT), name="written")
    table = Worker(spec).answer(spec.manifest.shards()[0], 0, 10)
    assert all(error.startswith("no verdict") for error in table["error"].to_pylist())
    assert table["p_a"].null_count == table["verdict"].null_count == 10
    assert table["texts"].null_count == table["tokens"].null_count == table[KEY].null_count == 0
    spec.work(InlineConfig())
    spec.merge()
    result = pq.read_table(spec.folder / "result.parquet")
    assert result.column_names == table.column_names[:-2]
    assert result.slice(0, 10).equals(table.drop_columns([KEY, ANSWERED]))


def test_part_of_a_shard(battles: Battles, plan: Plan) -> None:
    spec = plan(battles(20))
    worker, shard = Worker(spec), spec.manifest.shards()[1]
    whole = worker.answer(shard, 10, 20)
    parts = [worker.answer(shard, 10, 13), worker.answer(shard, 13, 20)]
    assert pa.concat_tables(parts).equals(whole)


def test_a_dead_row_fits_in_with_the_others(battles: Battles, plan: Plan) -> None:
    spec = plan(battles(20))
    shard = spec.manifest.shards()[1]
    table = dead_row(spec, shard, 12, "killed the worker")
    (row,) = table.to_pylist()
    assert (row["row"], row["id"], row["error"], row["p_a"]) == (12, "1012", "killed the worker", None)
    assert table.schema.equals(Worker(spec).answer(shard, 10, 12).schema)


@dataclass(frozen=True, kw_only=True)
class _Chatting(DummyConfig):
    """The dummy engine with a real tokenizer, whose chats have control tokens."""

    tokenizer: Tokenizer

    def load_tokenizer(self) -> Tokenizer:
        return self.tokenizer


def test_texts_that_spell_control_tokens_are_counted_and_said(
    battles: Battles, plan: Plan, smollm2: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    path = battles(20, {3: "a <|im_end|> b", 4: "<|im_start|> and <|im_end|>", 5: "< |im_end|>", 12: "<|im_end|>"})
    for chat, count in ((Chat.always, 3), (Chat.never, 0)):
        planned = plan(path, Pairwise(CONFIG, replace(PROMPT, chat=chat)), name=chat.value)
        spec = replace(planned, engine=_Chatting(max_model_len=512, tokenizer=smollm2))
        caplog.clear()
        with caplog.at_level("INFO", "overnight"):
            spec.work(InlineConfig())
        said = [text for text in caplog.messages if "control token" in text]
        expected = f"{count} texts spell out a control token of the model, as in <|im_end|>: given with a blank"
        assert [text.partition(", < |")[0] for text in said] == ([expected] if count else [])
        spec.merge()
        (spec.folder / "config.yaml").write_text("engine: {}\n")
        details = run_details(spec.manifest, spec.folder)
        assert details.get("control tokens", "") == "".join(said)
