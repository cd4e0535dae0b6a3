import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

import conf
from lib.engines.byte_tokenizer import BOS, ByteTokenizer
from lib.engines.dummy import DummyConfig, DummyEngine
from lib.errors import ConfigError
from lib.tasks.base import Result
from lib.tasks.pairwise import Pairwise, PairwiseConfig, Swap
from lib.tasks.prompts.fitting import MARKER
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.types import Answers, Label, LabelEngine, TokenIds, Tokenizer
from tests.tasks.tables import concluded

Rows = Callable[..., pa.Table]
LIMIT = 512
NAMES = ("p_a", "p_b", "p_tie")
PLAIN = PromptConfig(template="Q:{prompt} 1:{response_a} 2:{response_b}", labels=["A", "B", "tie"], chat=Chat.never)


def packaged(name: str) -> PromptConfig:
    content = yaml.safe_load((Path(conf.__file__).parent / "prompt" / f"{name}.yaml").read_text())
    del content["defaults"]
    return PromptConfig(**content)


def judge(prompt: PromptConfig = PLAIN, swap: Swap = Swap.both) -> Pairwise:
    return Pairwise(PairwiseConfig(swap=swap), prompt)


def result(
    task: Pairwise, rows: pa.Table, engine: LabelEngine, tokenizer: Tokenizer | None = None, limit: int = LIMIT
) -> Result:
    prepared = task.prepare(rows, tokenizer or ByteTokenizer(), limit)
    return concluded(task, rows, prepared, task.ask(engine, prepared))


def probabilities(found: Result, prefix: str = "") -> list[list[float]]:
    return [[row[f"{prefix}{name}"] for name in NAMES] for row in found.columns.to_pylist()]


def read(request: TokenIds) -> str:
    return bytes(token for token in request if token < BOS).decode()


class FirstEngine:
    """Prefers the response shown first, whatever it says; gives 0.8 of the probability to the labels."""

    def label_logprobs(self, prompts: Sequence[TokenIds], labels: Sequence[Label]) -> Answers:
        assert len(labels) == 3
        return Answers(np.log(np.tile(np.float32([0.56, 0.16, 0.08]), (len(prompts), 1))))


class GoodEngine:
    """Prefers the response that says "good", wherever it stands, and gives the labels more mass there."""

    def label_logprobs(self, prompts: Sequence[TokenIds], labels: Sequence[Label]) -> Answers:
        first = [read(tokens).partition(" 2:")[0] for tokens in prompts]
        values = [[0.6, 0.3, 0.1] if "good" in text else [0.1, 0.3, 0.1] for text in first]
        return Answers(np.log(np.float32(values)))


def test_orders_are_swapped_and_mapped_back(rows: Rows) -> None:
    battles = rows((["p0"], ["a0"], ["b0"]), (["p1"], ["a1"], ["b1"]))
    requests = judge().prepare(battles, ByteTokenizer(), LIMIT).requests
    assert [read(tokens) for tokens in requests] == [
        "Q:p0 1:a0 2:b0",
        "Q:p0 1:b0 2:a0",
        "Q:p1 1:a1 2:b1",
        "Q:p1 1:b1 2:a1",
    ]
    found = result(judge(), battles, FirstEngine())
    assert not found.errors
    assert probabilities(found, "ab_") == [pytest.approx([0.7, 0.2, 0.1])] * 2
    assert probabilities(found, "ba_") == [pytest.approx([0.2, 0.7, 0.1])] * 2
    assert probabilities(found) == [pytest.approx([0.45, 0.45, 0.1])] * 2
    assert found.columns["label_mass"].to_pylist() == pytest.approx([0.8, 0.8])


def test_a_judge_without_position_bias_says_the_same_in_both_orders(rows: Rows) -> None:
    battles = rows((["p"], ["good"], ["bad"]), (["p"], ["bad"], ["good"]))
    found = result(judge(), battles, GoodEngine())
    assert probabilities(found, "ab_") == [pytest.approx([0.6, 0.3, 0.1]), pytest.approx([0.2, 0.6, 0.2])]
    assert probabilities(found, "ba_") == [pytest.approx([0.6, 0.2, 0.2]), pytest.approx([0.3, 0.6, 0.1])]
    assert probabilities(found) == [pytest.approx([0.6, 0.25, 0.15]), pytest.approx([0.25, 0.6, 0.15])]
    assert found.columns["label_mass"].to_pylist() == pytest.approx([0.75, 0.75])  # of 1 and 0.5


def test_one_order(rows: Rows) -> None:
    battles = rows((["p0"], ["a0"], ["b0"]), (["p1"], ["a1"], ["b1"]))
    task = judge(swap=Swap.none)
    assert len(task.prepare(battles, ByteTokenizer(), LIMIT).requests) == 2
    found = result(task, battles, FirstEngine())
    assert probabilities(found) == probabilities(found, "ab_") == [pytest.approx([0.7, 0.2, 0.1])] * 2
    assert probabilities(found, "ba_") == [[None] * 3] * 2
    assert found.columns.schema.equals(judge().schema)


@pytest.mark.parametrize("swap", Swap)
def test_a_failed_request_fails_its_row(swap: Swap, rows: Rows) -> None:
    texts = [(["p"], ["a"], ["b"]), (["p"], ["POISON"], ["b"]), (["p"], ["a"], ["c"])]
    found = result(judge(swap=swap), rows(*texts), DummyEngine(DummyConfig(fail_on="POISON")))
    assert list(found.errors) == [1]
    assert "POISON" in found.errors[1]
    assert [None in row for row in probabilities(found)] == [False, True, False]


def test_answers_are_kept_as_they_were_given(rows: Rows) -> None:
    found = result(judge(), rows((["p"], ["good"], ["bad"]), (["p"], ["bad"], ["good"])), GoodEngine()).columns
    good, bad = np.log(np.float32([0.6, 0.3, 0.1])).tolist(), np.log(np.float32([0.1, 0.3, 0.1])).tolist()
    assert found["ab_logprobs"].to_pylist() == [good, bad]
    assert found["ba_logprobs"].to_pylist() == [bad, good]  # in the order of the labels: what is shown first, here B
    found = result(judge(swap=Swap.none), rows((["p"], ["good"], ["bad"])), GoodEngine()).columns
    assert found["ba_logprobs"].to_pylist() == [None]


def test_temperature_and_tie_offset_by_hand(rows: Rows) -> None:
    battles = rows((["p"], ["good"], ["bad"]))
    for swap, mean in ((Swap.both, [0.6, 0.25, 0.15]), (Swap.none, [0.6, 0.3, 0.1])):
        task = Pairwise(PairwiseConfig(swap=swap, temperature=2.0, tie_offset=math.log(3)), PLAIN)
        weights = [mean[0] ** 0.5, mean[1] ** 0.5, 3 * mean[2] ** 0.5]
        found = result(task, battles, GoodEngine())
        assert probabilities(found) == [pytest.approx([weight / sum(weights) for weight in weights])]
        assert probabilities(found, "ab_") == [pytest.approx([0.6, 0.3, 0.1])]
        assert found.columns["verdict"].to_pylist() == ["tie"]
    for key, value in (("temperature", 0), ("temperature", math.inf), ("tie_offset", math.nan)):
        with pytest.raises(ConfigError, match=rf"judge\.{key}={value}: must be"):
            PairwiseConfig(**{key: value})


def test_null_turns_are_empty(rows: Rows) -> None:
    battles = rows((["p", "q"], ["a", None], [None, None]), (["p", "q"], ["a", ""], ["", ""]))
    requests = judge().prepare(battles, ByteTokenizer(), LIMIT).requests
    assert read(requests[0]) == "Q:p q 1:a  2: "
    assert requests[:2] == requests[2:]


def test_cuts_are_recorded_and_both_orders_see_the_same_texts(rows: Rows) -> None:
    uncut, long = (["p"], ["a"], ["b"]), (["why"], ["x" * 300 + "y" * 300], ["z" * 600])
    task = judge()
    prepared = task.prepare(rows(uncut, long), ByteTokenizer(), LIMIT)
    found = task.read(prepared, task.ask(FirstEngine(), prepared)).columns.to_pylist()
    assert [found[0][f"cut_{side}"] for side in ("prompt", "response_a", "response_b")] == [0, 0, 0]
    assert found[1]["cut_prompt"] == 0
    assert found[1]["cut_response_a"] == found[1]["cut_response_b"] > 300
    assert prepared.cut == [0, 2 * found[1]["cut_response_a"]]
    assert [row["tokens"] for row in found] == [
        sum(map(len, prepared.requests[:2])),
        sum(map(len, prepared.requests[2:])),
    ]
    ab, ba = (read(tokens) for tokens in prepared.requests[2:])
    assert MARKER in ab
    shown = ab.partition("1:")[2].split(" 2:")
    assert ba.partition("1:")[2].split(" 2:") == shown[::-1]
    assert shown[0].startswith("xxx")
    assert shown[0].endswith("yyy")


@pytest.mark.parametrize("prompt", ["pairwise_en", "pairwise_ja"])
def test_no_real_battle_is_lost_to_the_limit(prompt: str, tokenizer: Tokenizer, real_battles: pa.Table) -> None:
    task = judge(packaged(prompt))
    task.check(tokenizer, LIMIT)
    prepared = task.prepare(real_battles, tokenizer, LIMIT)
    assert len(prepared.requests) == 200
    lengths = [len(tokens) for tokens in prepared.requests]
    assert max(lengths) <= LIMIT
    found = concluded(task, real_battles, prepared, task.ask(DummyEngine(DummyConfig()), prepared))
    assert not found.errors
    assert found.columns.num_rows == 100
    assert np.sum(probabilities(found), axis=1) == pytest.approx(np.ones(100))
    cut = [row for row, tokens in enumerate(prepared.cut) if tokens]
    assert len(cut) > 30
    assert np.median([lengths[2 * row] for row in cut]) >= 0.97 * LIMIT  # the room is used


def test_japanese_prompt_is_whole_and_its_tie_label_has_its_own_tokens(smollm2: Tokenizer, rows: Rows) -> None:
    prompt = packaged("pairwise_ja")
    battles = rows((["富士山の高さは？"], ["3776メートル"], ["知りません"]))
    task = judge(prompt)
    for tokenizer in (ByteTokenizer(), smollm2):
        task.check(tokenizer, 1024)
        _, labels = task.prepare(battles, tokenizer, 1024).notes
        assert labels[0][2] == (tuple(tokenizer.encode("同等")), tuple(tokenizer.encode(" 同等")))
        assert all(len(spellings) == 2 for spellings in labels[0])
    ab, ba = (read(tokens) for tokens in task.prepare(battles, ByteTokenizer(), 1024).requests)
    assert ab == f"{prompt.system}{prompt.template}".format(
        prompt="富士山の高さは？", response_a="3776メートル", response_b="知りません"
    )
    assert ba.index("知りません") < ba.index("3776メートル")


@pytest.mark.parametrize("labels", [["A", "AB", "tie"], ["A", "B", "A"], ["tie", "B", "t"]])
def test_labels_that_begin_one_another_are_refused(labels: list[str]) -> None:
    prompt = PromptConfig(template=PLAIN.template, labels=labels)
    with pytest.raises(ConfigError, match="can't tell them apart"):
        judge(prompt).check(ByteTokenizer(), LIMIT)


def test_labels_that_only_a_real_tokenizer_tells_apart(smollm2: Tokenizer) -> None:
    prompt = PromptConfig(template=PLAIN.template, labels=["one", "ones", "none"])
    judge(prompt).check(smollm2, LIMIT)
    with pytest.raises(ConfigError, match="can't tell them apart"):
        judge(prompt).check(ByteTokenizer(), LIMIT)


def test_a_limit_below_the_fixed_text_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match=r"engine\.max_model_len=60: the fixed text of a request alone has \d+"):
        judge(packaged("pairwise_en")).check(tokenizer, 60)


def test_the_least_limit_that_is_named_works(tokenizer: Tokenizer, rows: Rows) -> None:
    task = judge(packaged("pairwise_en"))
    with pytest.raises(ConfigError) as refused:
        task.check(tokenizer, 1)
    least = int(str(refused.value).partition("use at least ")[2].partition(",")[0])
    task.check(tokenizer, least)
    prepared = task.prepare(rows((["why "] * 9, ["because "] * 90, ["so " * 900])), tokenizer, least)
    assert max(map(len, prepared.requests)) <= least


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ("{prompt} {response_a}", r"missing: \{response_b\}"),
        ("hello", r"missing: \{prompt\}, \{response_a\}, \{response_b\}"),
        (f"{PLAIN.template} {{question}}", r"unknown: \{question\}"),
        ("{prompt} {response_a} {Response_b}", r"missing: \{response_b\}; unknown: \{Response_b\}"),
    ],
)
def test_slots_are_exactly_the_three(template: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match=rf"^prompt\.template: .*{wrong}"):
        judge(PromptConfig(template=template, labels=PLAIN.labels))


@pytest.mark.parametrize("labels", [[], ["A"], ["A", "B", "tie", "none"]])
def test_what_labels_mean_has_to_be_said(labels: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^prompt\.labels=.*say in prompt.means"):
        judge(PromptConfig(template=PLAIN.template, labels=labels))


def test_chat_is_refused_where_the_tokenizer_knows_none() -> None:
    class BaseTokenizer(ByteTokenizer):
        has_chat_template = False

    prompt = PromptConfig(template=PLAIN.template, labels=PLAIN.labels, chat=Chat.always)
    with pytest.raises(ConfigError, match=r"prompt\.chat=always"):
        judge(prompt).check(BaseTokenizer(), LIMIT)


def test_identity_names_all_that_changes_results() -> None:
    assert judge().identity() == judge().identity()
    assert judge().identity() != judge(swap=Swap.none).identity()
    assert judge().identity() != judge(PromptConfig(template=PLAIN.template, labels=["A", "B", "="])).identity()


def test_a_judge_that_wants_to_say_something_else_stops_the_run(rows: Rows) -> None:
    def check(mass: Sequence[float | None], least: float) -> None:
        Pairwise(PairwiseConfig(min_label_mass=least), PLAIN).check_first(
            pa.table({"label_mass": pa.array(mass, pa.float64())})
        )

    with pytest.raises(ConfigError, match=r"^label mass 0\.05: .*judge\.min_label_mass=0\.1.*prompt\.preview"):
        check([0.05, None, 0.01, 0.9], 0.1)
    check([0.01, 0.2, 0.3], 0.1)
    check([0.05], 0)
    check([None], 0.1)
