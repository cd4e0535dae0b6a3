from collections.abc import Callable

import pyarrow as pa
import pytest

from lib.engines.byte_tokenizer import ByteTokenizer
from lib.tasks.pairwise import Pairwise, PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.prompts.truncation import Truncate, drop_turns
from lib.tasks.reward import ArenaConfig, Reward
from lib.types import BATTLE_TEXTS, Answers

PROMPT = PromptConfig(template="{prompt}|{response_a}|{response_b}", labels=["A", "B", "tie"])


def test_turns_are_kept_from_the_last_one_on_up_to_7200_characters() -> None:
    turns = [["p" * 600, "q" * 400], ["a" * 3000, "b" * 3000], ["c" * 3000, "d" * 3000]]
    assert drop_turns(turns) == [["q" * 400], ["b" * 3000], ["d" * 3000]]
    turns = [["p" * 600, "q" * 400], ["a" * 100, "b" * 3000], ["c" * 100, "d" * 3000]]
    assert drop_turns(turns) == turns, "7,200 characters exactly"
    turns[0][0] += "p"
    assert drop_turns(turns) == [["q" * 400], ["b" * 3000], ["d" * 3000]]


def test_one_exchange_that_is_too_long_keeps_the_beginnings() -> None:
    sides = [["old", "p" * 5000], ["old", "a" * 200], ["old", "b" * 9000]]
    assert drop_turns(sides) == [["p" * 1000], ["a" * 200], ["b" * 3000]]


def test_sides_of_unequal_length() -> None:
    assert drop_turns([["x" * 7000, "y" * 8000], ["a"], []]) == [["y" * 1000], [], []]
    assert drop_turns([["x"], ["a"], ["b", "c"]]) == [["x"], ["a"], ["b", "c"]]


@pytest.mark.parametrize("task", [Pairwise, Reward])
def test_cuts_by_characters_and_by_tokens_add_up(task: type, rows: Callable[..., pa.Table]) -> None:
    table = rows((["p" * 50, "q" * 5000], ["a" * 10, "b" * 4000], ["c" * 10, "d" * 20]))
    made = _task(task, Truncate.turns_chars)
    prepared = made.prepare(table, ByteTokenizer(), 600)
    assert max(map(len, prepared.requests)) <= 600
    fair = _task(task, Truncate.fair).prepare(table, ByteTokenizer(), 600)
    columns = made.read(prepared, _answers(prepared.requests, task)).columns
    lost = {side: columns[f"cut_{side}"].to_pylist()[0] for side in BATTLE_TEXTS}
    assert sum(lost.values()) == prepared.cut[0]
    assert lost["response_b"] == 10, "its first turn went with the exchange"
    assert lost["prompt"] > 4050, "the dropped turn, all behind 1,000 characters, and what fitting cut"
    assert prepared.requests != fair.requests, "fitting alone keeps the texts' ends"


@pytest.mark.parametrize("task", [Pairwise, Reward])
def test_without_truncation_long_requests_stay_long(task: type, rows: Callable[..., pa.Table]) -> None:
    table = rows((["p" * 900], ["a"], ["b"]), (["p"], ["a"], ["b"]))
    prepared = _task(task, Truncate.none).prepare(table, ByteTokenizer(), 600)
    assert len(prepared.requests[0]) > 900, "for the engine to refuse"
    assert len(prepared.requests[2]) < 600
    assert prepared.cut == [0, 0]


def _task(kind: type, truncate: Truncate) -> Pairwise | Reward:
    if kind is Pairwise:
        return Pairwise(PairwiseConfig(truncate=truncate), PROMPT)
    return Reward(ArenaConfig(truncate=truncate))


def _answers(requests: list[list[int]], kind: type) -> Answers:
    import numpy as np

    return Answers(np.zeros((len(requests), 3 if kind is Pairwise else 1), dtype=np.float32) - 2)
