from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lib.engines.byte_tokenizer import ByteTokenizer
from lib.engines.dummy import DummyConfig, DummyEngine
from lib.errors import ConfigError
from lib.tasks.prompts.fitting import MARKER
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.reranking import CrossEncode, JudgeRelevance, RerankBy, RerankConfig
from lib.types import Answers, TokenPair
from tests.tasks.tables import concluded, rows

TOKENS = ByteTokenizer()
PROMPT = PromptConfig(template="{passage}\n{question}?", labels=["yes", "no"])
TABLE = rows(
    {"question": [["q one"], ["q two"], ["q three"]], "passages": [["a", "b", "c"], [], ["d"]]},
    passage_ids=pa.array([["ia", "ib", "ic"], [], ["id"]]),
    scores=pa.array([[0.9, 0.8, 0.7], [], [0.6]]),
)


def judge(**values: Any) -> JudgeRelevance:
    return JudgeRelevance(RerankConfig(**values), PROMPT)


def logprobs(*odds: float) -> Answers:
    """Answers with these log-odds of yes."""
    return Answers(np.array([[value - 5, -5] for value in odds], np.float32))


def test_one_request_for_each_passage() -> None:
    prepared = judge().prepare(TABLE, TOKENS, 200)
    assert prepared.counts == [3, 0, 1]
    assert prepared.requests[1] == PROMPT.tokens({"passage": ["b"], "question": ["q one"]}, TOKENS)


def test_passages_are_ordered_by_log_odds() -> None:
    task = judge()
    prepared = task.prepare(TABLE, TOKENS, 200)
    result = concluded(task, TABLE, prepared, logprobs(-1, 2, 2, 0.5)).columns.to_pylist()
    assert result[0]["passages"] == ["b", "c", "a"]  # equal ones keep the order in which they were retrieved
    assert result[0]["passage_ids"] == ["ib", "ic", "ia"]
    assert result[0]["scores"] == [2, 2, -1]
    assert result[0]["retrieved_ranks"] == [1, 2, 0]
    assert [row["passage_scores"] for row in result] == [[-1, 2, 2], [], [0.5]]
    assert result[1]["passages"] == []
    assert result[2]["scores"] == [0.5]
    assert result[0]["tokens"] == sum(map(len, prepared.requests[:3]))


def test_unlikely_labels_stop_a_run() -> None:
    task = judge()
    prepared = task.prepare(TABLE, TOKENS, 200)
    values = np.log(np.array([[0.02, 0.03], [0.1, 0.1], [0.01, 0.04], [0.01, 0.01]], np.float32))
    found = task.read(prepared, Answers(values)).columns
    assert found["label_mass"].to_pylist() == [pytest.approx(0.1), None, pytest.approx(0.02)]
    with pytest.raises(ConfigError, match=r"^label mass 0\.06: .*rerank\.min_label_mass=0\.1"):
        task.check_first(found)
    judge(min_label_mass=0.05).check_first(found)
    with pytest.raises(ConfigError, match=r"no effect with rerank\.by=cross_encoder"):
        RerankConfig(by=RerankBy.cross_encoder, min_label_mass=0)


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({"threshold": 0.0}, ["b"]),
        ({"threshold": 3.0}, []),
        ({"top_n": 2}, ["b", "c"]),
        ({"threshold": -2, "top_n": 1}, ["b"]),
    ],
)
def test_threshold_and_top_n(values: dict[str, Any], kept: list[str]) -> None:
    task = judge(**values)
    prepared = task.prepare(TABLE, TOKENS, 200)
    assert concluded(task, TABLE, prepared, logprobs(-1, 2, 0, 1)).columns["passages"][0].as_py() == kept


def test_a_passage_that_fails_fails_its_row() -> None:
    task = judge()
    prepared = task.prepare(TABLE, TOKENS, 200)
    answers = logprobs(-1, 2, 0, 1)
    result = concluded(task, TABLE, prepared, Answers(answers.values, {1: "out of memory"}))
    assert result.errors == {0: "passage ib: out of memory"}
    assert result.columns["passages"][2].as_py() == ["d"]


def test_both_ways_with_an_engine() -> None:
    engine = DummyEngine(DummyConfig())
    for task in (judge(), CrossEncode(RerankConfig())):
        prepared = task.prepare(TABLE, TOKENS, 200)
        result = concluded(task, TABLE, prepared, task.ask(engine, prepared))
        assert not result.errors
        scores = result.columns["scores"].to_pylist()
        assert scores[0] == sorted(scores[0], reverse=True)
        assert sorted(result.columns["passages"][0].as_py()) == ["a", "b", "c"]


def test_a_long_passage_is_cut_so_that_the_pair_fits() -> None:
    task = CrossEncode(RerankConfig())
    table = rows({"question": [["why"]], "passages": [["x" * 50]]})
    prepared = task.prepare(table, TOKENS, 20)
    assert [len(request) for request in prepared.requests] == [20]
    assert prepared.cut == [50 - (20 - 6)]
    assert task.read(prepared, Answers(np.ones((1, 1), np.float32), {})).columns["cut"].to_pylist() == [36]


def test_what_is_cut_from_passages_stands_in_the_result_and_is_summed() -> None:
    table = rows({"question": [["why"], ["how"]], "passages": [["x" * 50, "y", "z" * 60], ["y"]]})
    task = judge(top_n=1)
    prepared = task.prepare(table, TOKENS, 40)
    assert all(len(request) <= 40 for request in prepared.requests)
    cut = task.read(prepared, logprobs(1, 2, 0, 1)).columns["cut"].to_pylist()
    fixed = len(PROMPT.tokens({"passage": [""], "question": ["why"]}, TOKENS)) + max(len("yes"), len("no"))
    mark = len(MARKER.encode())  # it stands in place of what is cut
    assert cut == [50 + 60 - 2 * (40 - fixed - mark), 0]


def test_no_passage_at_all() -> None:
    table = rows({"question": [["why"]], "passages": [[]]})
    engine = DummyEngine(DummyConfig())
    for task in (judge(), CrossEncode(RerankConfig())):
        prepared = task.prepare(table, TOKENS, 100)
        assert concluded(task, table, prepared, task.ask(engine, prepared)).columns["passages"].to_pylist() == [[]]


def test_a_tokenizer_that_glues_two_texts_is_refused() -> None:
    class Glues(ByteTokenizer):
        def pair_prompt(self, first: str, second: str) -> TokenPair:
            return self.completion_prompt(first + second), 1

    with pytest.raises(ConfigError, match=r"^rerank\.by=cross_encoder: .*nothing between"):
        CrossEncode(RerankConfig()).check(Glues(), 512)
    CrossEncode(RerankConfig()).check(ByteTokenizer(), 512)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"missing: \{passage\}"):
        JudgeRelevance(RerankConfig(), PromptConfig(template="{question}", labels=["yes", "no"]))
    with pytest.raises(ConfigError, match="needs 2 labels"):
        JudgeRelevance(RerankConfig(), PromptConfig(template="{question}{passage}", labels=["yes"]))
    with pytest.raises(ConfigError, match=r"rerank\.top_n=0"):
        RerankConfig(top_n=0)
    with pytest.raises(ConfigError, match="max_model_len=3"):
        CrossEncode(RerankConfig()).check(TOKENS, 3)
