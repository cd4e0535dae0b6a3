"""What holds of every task: which of its columns are answers, and which of its settings only conclude from them."""

from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.engines.byte_tokenizer import ByteTokenizer
from lib.engines.dummy import DummyConfig, DummyEngine
from lib.tasks.base import AnyTask
from lib.tasks.embedding import Embed, EmbedConfig
from lib.tasks.generation import Generate
from lib.tasks.pairwise import Pairwise, PairwiseConfig, Swap
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.tasks.reranking import CrossEncode, JudgeRelevance, RerankBy, RerankConfig
from lib.tasks.reward import ArenaConfig, Reward, Rule
from lib.tasks.sampling import SamplingConfig
from lib.tasks.written.written_verdict import WrittenVerdict
from lib.types import BATTLE_TEXTS
from tests.tasks.tables import keyed, rows

TEXTS = [["one"], ["two", "POISON"], ["three"], ["four"]]
SLOTS = rows({"question": TEXTS, "passages": [["a", "b", "c"], ["d", "e"], [], ["f"]]})
BATTLES = keyed(pa.table({name: pa.array(TEXTS, pa.list_(pa.string())) for name in BATTLE_TEXTS}), BATTLE_TEXTS)
JUDGE = PromptConfig(template="Q:{prompt} 1:{response_a} 2:{response_b}", labels=["A", "B", "tie"], chat=Chat.never)
RELEVANCE = PromptConfig(template="{question}?{passage}", labels=["yes", "no"], chat=Chat.never)
ASKED = PromptConfig(template="{question}", chat=Chat.never)
CROSS = RerankConfig(by=RerankBy.cross_encoder)
DRAWN = SamplingConfig(temperature=1.0, max_new_tokens=8, choice=["A", "B", "tie"])

TASKS = {
    "pairwise": Pairwise(PairwiseConfig(temperature=1.5), JUDGE),
    "one order": Pairwise(PairwiseConfig(swap=Swap.none), JUDGE),
    "written": WrittenVerdict(PairwiseConfig(), DRAWN, JUDGE),
    "reward": Reward(ArenaConfig()),
    "labels": JudgeRelevance(RerankConfig(top_n=2), RELEVANCE),
    "cross-encoder": CrossEncode(CROSS),
    "embed": Embed(EmbedConfig(text="{question}!"), "", 16),
    "generate": Generate(DRAWN, ASKED),
}


@pytest.mark.parametrize("name", TASKS)
def test_results_are_concluded_from_what_was_kept_to_the_bit(name: str) -> None:
    task: AnyTask = TASKS[name]
    table = BATTLES if isinstance(task, (Pairwise, WrittenVerdict, Reward)) else SLOTS
    engine: Any = DummyEngine(DummyConfig(fail_on="POISON"))
    prepared = task.prepare(table, ByteTokenizer(), 512)
    result = task.read(prepared, task.ask(engine, prepared))
    assert list(result.errors) == list(result.unanswered) == [1]
    whole = task.conclude(table, result.columns)
    assert result.columns.schema.equals(task.answered)
    assert whole.schema.equals(task.schema)
    fine = pa.array([0, 2, 3])
    assert whole.select(task.answered.names).take(fine).equals(result.columns.take(fine))
    pq.write_table(result.columns.take(fine), file := BytesIO())
    kept = pq.read_table(file)
    assert task.conclude(table.take(fine), kept).equals(whole.take(fine))
    assert task.conclude(table.slice(3), kept.slice(2)).equals(whole.slice(3))
    assert task.conclude(table.slice(0, 0), kept.slice(0, 0)).num_rows == 0


@pytest.mark.parametrize(
    ("task", "other", "same_question"),
    [
        (Pairwise(PairwiseConfig(), JUDGE), Pairwise(PairwiseConfig(temperature=2.0), JUDGE), True),
        (Pairwise(PairwiseConfig(), JUDGE), Pairwise(PairwiseConfig(tie_offset=0.5), JUDGE), True),
        (Pairwise(PairwiseConfig(), JUDGE), Pairwise(PairwiseConfig(swap=Swap.none), JUDGE), False),
        (TASKS["written"], WrittenVerdict(PairwiseConfig(temperature=2.0), DRAWN, JUDGE), True),
        (Reward(ArenaConfig()), Reward(ArenaConfig(rule=Rule.threshold, tie_margin=0.1)), True),
        (Reward(ArenaConfig()), Reward(ArenaConfig(scale=2.0, bias=1.0, log_nu=-1.0)), True),
        (JudgeRelevance(RerankConfig(), RELEVANCE), JudgeRelevance(RerankConfig(threshold=0.5), RELEVANCE), True),
        (CrossEncode(CROSS), CrossEncode(RerankConfig(by=RerankBy.cross_encoder, top_n=3)), True),
        (TASKS["embed"], Embed(EmbedConfig(text="{question}"), "", 16), False),
        (TASKS["generate"], Generate(DRAWN, JUDGE), False),
    ],
)
def test_a_rule_is_no_part_of_the_question(task: AnyTask, other: AnyTask, same_question: bool) -> None:
    assert task.identity() != other.identity()
    assert (task.question() == other.question()) is same_question
    assert task.question()["version"] == task.version
