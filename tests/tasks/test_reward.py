import math
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest

from lib.engines.byte_tokenizer import BOS, END, ByteTokenizer
from lib.engines.dummy import DummyConfig, DummyEngine
from lib.errors import ConfigError
from lib.tasks.prompts.fitting import MARKER
from lib.tasks.reward import ArenaConfig, Reward, Rule
from lib.types import Answers, TokenIds, Tokenizer
from tests.tasks.tables import concluded

Rows = Callable[..., pa.Table]
LIMIT = 512
BATTLE = (["p"], ["a"], ["b"])


class Scores:
    """Gives the scores it was made with, in order."""

    def __init__(self, *scores: float) -> None:
        self._scores = scores

    def score(self, conversations: Sequence[TokenIds]) -> Answers:
        assert len(conversations) == len(self._scores)
        return Answers(np.array(self._scores, dtype=np.float32)[:, None])


def requests(rows: pa.Table, limit: int = LIMIT) -> list[str]:
    """The conversations as text: `u:` and `a:` before the turns, `|` after them."""
    marks = {BOS: "", END: "|", 259: "u:", 260: "a:"}
    prepared = Reward(ArenaConfig()).prepare(rows, ByteTokenizer(), limit)
    assert all(len(tokens) <= limit for tokens in prepared.requests)
    return [
        b"".join(bytes([token]) if token < BOS else marks[token].encode() for token in tokens).decode()
        for tokens in prepared.requests
    ]


def probabilities(config: ArenaConfig, battles: pa.Table, *scores: float) -> list[list[float]]:
    task = Reward(config)
    prepared = task.prepare(battles, ByteTokenizer(), LIMIT)
    columns = concluded(task, battles, prepared, task.ask(Scores(*scores), prepared)).columns
    return [[row[name] for name in ("p_a", "p_b", "p_tie")] for row in columns.to_pylist()]


def test_turns_are_aligned_as_chats(rows: Rows) -> None:
    assert requests(rows((["p0", "p1"], ["a0", "a1"], ["b0", None]))) == [
        "u:p0|a:a0|u:p1|a:a1|",
        "u:p0|a:b0|u:p1|a:|",
    ]


def test_missing_turns_are_empty_so_that_roles_alternate(rows: Rows) -> None:
    assert requests(rows((["p0"], ["a0", "a1"], ["b0"]), (["p0", "p1", "p2"], ["a0"], ["b0", "b1"]))) == [
        "u:p0|a:a0|u:|a:a1|",
        "u:p0|a:b0|",
        "u:p0|a:a0|u:p1|a:|u:p2|a:|",
        "u:p0|a:b0|u:p1|a:b1|u:p2|a:|",
    ]


def test_a_real_chat_template_writes_the_conversation(smollm2: Tokenizer, rows: Rows) -> None:
    prepared = Reward(ArenaConfig()).prepare(rows((["p0", "p1"], ["a0", "a1"], ["b0", "b1"])), smollm2, LIMIT)
    turns = [("user", "p0"), ("assistant", "b0"), ("user", "p1"), ("assistant", "b1")]
    written = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
    system = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    assert prepared.requests[1] == smollm2.encode(system + written)


def test_a_short_response_does_not_shorten_the_other(rows: Rows) -> None:
    a, b = requests(rows((["hi"], ["short"], ["long " * 400])), 200)
    assert a == "u:hi|a:short|"
    assert MARKER in b
    assert len(b.encode()) >= 195


def test_what_stands_around_dropped_turns_goes_with_them(tokenizer: Tokenizer, rows: Rows) -> None:
    """The marks of a hundred exchanges are longer than the limit; the room is that of the exchanges that are kept."""
    exchanges = range(100)
    battle = ([f"why is {i}?" for i in exchanges], [f"so is {i}" for i in exchanges], [f"not {i}" for i in exchanges])
    task = Reward(ArenaConfig())
    prepared = task.prepare(rows(battle), tokenizer, LIMIT)
    assert LIMIT - 40 <= max(map(len, prepared.requests)) <= LIMIT
    (fitted,) = prepared.notes
    kept = len(fitted.sides[0])
    assert fitted.sides == [side[-kept:] for side in battle]  # the most recent ones, as they are
    assert sum(fitted.cut) == sum(len(tokenizer.encode(turn)) for side in battle for turn in side[:-kept])


def test_empty_turns_alone_can_be_too_many(rows: Rows) -> None:
    assert requests(rows(([""] * 99, [None] * 99, [""] * 99)), 50) == ["u:|a:|" * 12] * 2


def test_a_side_that_lost_all_its_turns_is_an_empty_exchange(smollm2: Tokenizer, rows: Rows) -> None:
    prepared = Reward(ArenaConfig()).prepare(rows((["q " * 99], ["a " * 900, "x " * 900, "c"], ["b"])), smollm2, 100)
    assert all(0 < len(tokens) <= 100 for tokens in prepared.requests)


def test_no_real_battle_is_lost_to_the_limit(tokenizer: Tokenizer, real_battles: pa.Table) -> None:
    task = Reward(ArenaConfig())
    task.check(tokenizer, LIMIT)
    prepared = task.prepare(real_battles, tokenizer, LIMIT)
    assert len(prepared.requests) == 200
    assert max(map(len, prepared.requests)) <= LIMIT
    found = task.read(prepared, task.ask(DummyEngine(DummyConfig()), prepared))
    assert not found.errors
    assert found.columns.num_rows == 100
    cut = [row for row, tokens in enumerate(prepared.cut) if tokens]
    assert len(cut) > 20
    assert np.median([max(map(len, prepared.requests[2 * row : 2 * row + 2])) for row in cut]) >= 0.97 * LIMIT


def test_davidson_by_hand(rows: Rows) -> None:
    # z = 2 * (1.5 - 1) - 0.4 = 0.6, nu = 0.5: weights e^0.3, e^-0.3 and 0.5
    config = ArenaConfig(scale=2.0, bias=-0.4, log_nu=math.log(0.5))
    weights = [1.3498588, 0.7408182, 0.5]
    (found,) = probabilities(config, rows(BATTLE), 1.5, 1.0)
    assert found == pytest.approx([weight / 2.5906770 for weight in weights], abs=1e-7)
    assert probabilities(ArenaConfig(), rows(BATTLE), 0.3, 0.3) == [pytest.approx([1 / 3] * 3)]


def test_threshold_by_hand(rows: Rows) -> None:
    config = ArenaConfig(rule=Rule.threshold)
    found = probabilities(config, rows(*[BATTLE] * 4), 0.50, 0.43, 0.0, 0.07, 1.0, 0.0, 0.0, 500.0)
    assert found == [
        [0.00005, 0.00005, 0.9999],
        [0.00005, 0.00005, 0.9999],
        pytest.approx([0.7310586 - 0.0001, 0.2689414 - 0.0001, 0.0002], abs=1e-7),
        [0.0, 0.9998, 0.0002],
    ]
    assert np.sum(found, axis=1) == pytest.approx(np.ones(4))
    wide = ArenaConfig(rule=Rule.threshold, tie_margin=1.5)
    assert probabilities(wide, rows(BATTLE), 1.0, 0.0) == [[0.00005, 0.00005, 0.9999]]


def test_scores_and_cuts_are_columns(rows: Rows) -> None:
    task = Reward(ArenaConfig())
    prepared = task.prepare(rows(BATTLE, (["p"], ["a" * 900], ["b"])), ByteTokenizer(), LIMIT)
    found = task.read(prepared, task.ask(Scores(1, 2, 3, 4), prepared)).columns.to_pylist()
    assert [(row["score_a"], row["score_b"]) for row in found] == [(1.0, 2.0), (3.0, 4.0)]
    assert [(row["cut_prompt"], row["cut_response_b"]) for row in found] == [(0, 0), (0, 0)]
    assert found[0]["cut_response_a"] == 0
    assert found[1]["cut_response_a"] > 388
    assert [row["tokens"] for row in found] == [14, len(prepared.requests[2]) + 7]
    assert prepared.cut == [0, found[1]["cut_response_a"]]


@pytest.mark.parametrize("rule", Rule)
def test_a_failed_conversation_fails_its_row(rule: Rule, rows: Rows) -> None:
    task = Reward(ArenaConfig(rule=rule))
    battles = rows(BATTLE, (["p"], ["a"], ["POISON"]), BATTLE)
    prepared = task.prepare(battles, ByteTokenizer(), LIMIT)
    found = concluded(task, battles, prepared, task.ask(DummyEngine(DummyConfig(fail_on="POISON")), prepared))
    assert list(found.errors) == [1]
    for name in ("p_a", "p_b", "p_tie"):
        assert [value is None for value in found.columns[name].to_pylist()] == [False, True, False]


def test_refusals(rows: Rows) -> None:
    class BaseTokenizer(ByteTokenizer):
        has_chat_template = False

    with pytest.raises(ConfigError, match="no chat template"):
        Reward(ArenaConfig()).check(BaseTokenizer(), LIMIT)
    with pytest.raises(ConfigError, match=r"engine\.max_model_len=30"):
        Reward(ArenaConfig()).check(ByteTokenizer(), 30)
    with pytest.raises(ConfigError, match=r"arena\.scale=0"):
        ArenaConfig(scale=0)
    with pytest.raises(ConfigError, match=r"arena\.tie_margin=-1"):
        ArenaConfig(tie_margin=-1)


def test_identity_names_the_rule_and_its_parameters() -> None:
    identities = [Reward(c).identity() for c in (ArenaConfig(), ArenaConfig(scale=2), ArenaConfig(rule=Rule.threshold))]
    assert all(a != b for i, a in enumerate(identities) for b in identities[i + 1 :])
