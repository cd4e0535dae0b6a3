"""Judges with other labels than three, with reference answers, and with conversations."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

import conf
from lib.engines.byte_tokenizer import BOS, ByteTokenizer
from lib.errors import ConfigError
from lib.tasks.base import AnyTask, Result
from lib.tasks.generation import Generate
from lib.tasks.judging import judging_task, written
from lib.tasks.pairwise import Mode, Pairwise, PairwiseConfig, Swap
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.tasks.reranking import JudgeRelevance, RerankConfig
from lib.tasks.sampling import SamplingConfig
from lib.tasks.written.written_verdict import WrittenVerdict
from lib.types import Answers, Completion, Completions, Label, Sampling, TokenIds
from tests.tasks.tables import concluded

Rows = Callable[..., pa.Table]
TEMPLATE = "Q:{prompt} 1:{response_a} 2:{response_b}"
FIVE = PromptConfig(
    template=TEMPLATE,
    labels=["A>>B", "A>B", "A=B", "B>A", "B>>A"],
    means=["a", "a", "tie", "b", "b"],
    weights=[3, 1, 1, 1, 3],
    chat=Chat.never,
)
TWO = PromptConfig(template=TEMPLATE, labels=["m", "M"], chat=Chat.never)
BATTLE = (["p"], ["one"], ["two"])


class Told:
    """Gives the labels these probabilities, by the number of the request."""

    memory = 0

    def __init__(self, *probabilities: Sequence[float]) -> None:
        self._probabilities = probabilities

    def label_logprobs(self, prompts: Sequence[TokenIds], labels: Sequence[Label]) -> Answers:
        assert {len(labels)} == {len(p) for p in self._probabilities}
        return Answers(np.log(np.array(self._probabilities, np.float32)))


class Writer:
    """Answers the requests with these texts."""

    memory = 0

    def __init__(self, *texts: str) -> None:
        self._texts = texts

    def generate(self, prompts: Sequence[TokenIds], sampling: Sampling, seeds: Sequence[int]) -> Completions:
        return Completions([[Completion(text, list(text.encode()), "stop")] for text in self._texts])


def result(task: AnyTask, rows: pa.Table, engine: Any) -> Result:
    prepared = task.prepare(rows, ByteTokenizer(), 1024)
    return concluded(task, rows, prepared, task.ask(engine, prepared))


def outcome(found: Result, prefix: str = "") -> list[float]:
    (row,) = found.columns.to_pylist()
    return [row[f"{prefix}{name}"] for name in ("p_a", "p_b", "p_tie")]


def test_labels_that_mean_the_same_are_summed(rows: Rows) -> None:
    engine = Told([0.3, 0.2, 0.1, 0.1, 0.1], [0.0625, 0.125, 0.0625, 0.25, 0.5])
    found = result(Pairwise(PairwiseConfig(), FIVE), rows(BATTLE), engine)
    assert outcome(found, "ab_") == pytest.approx([0.5 / 0.8, 0.2 / 0.8, 0.1 / 0.8])
    assert outcome(found, "ba_") == pytest.approx(
        [0.75, 0.1875, 0.0625]
    )  # "B>>A" says: what is shown second, the row's A
    assert outcome(found) == pytest.approx([(0.625 + 0.75) / 2, (0.25 + 0.1875) / 2, (0.125 + 0.0625) / 2])
    (row,) = found.columns.to_pylist()
    assert row["ba_logprobs"] == pytest.approx(np.log([0.0625, 0.125, 0.0625, 0.25, 0.5]))
    assert row["label_mass"] == pytest.approx(0.9)


def test_two_labels_know_no_tie(rows: Rows) -> None:
    found = result(Pairwise(PairwiseConfig(swap=Swap.none), TWO), rows(BATTLE), Told([0.6, 0.2]))
    assert outcome(found) == pytest.approx([0.75, 0.25, 0])
    assert found.columns["verdict"].to_pylist() == ["A"]


def test_written_verdicts_of_five_levels(rows: Rows) -> None:
    task = WrittenVerdict(PairwiseConfig(mode=Mode.text), SamplingConfig(max_new_tokens=64), FIVE)
    found = result(task, rows(BATTLE), Writer("My final verdict is: [[A>>B]]", "so [[B>A]]"))
    assert outcome(found) == [1, 0, 0]
    assert found.columns["verdicts"].to_pylist() == [["A>>B", "B>A"]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ["x", "y"], "means": ["a"]}, "must have one for each of prompt.labels"),
        ({"labels": ["x", "y"], "means": ["a", "c"]}, "each must be a, b or tie"),
        ({"labels": ["x", "y"], "weights": [1, 0]}, "each must be a number above 0"),
        ({"labels": ["x", "y"], "weights": [1, float("nan")]}, "each must be a number above 0"),
        ({"means": ["a"]}, "prompt.means: has no effect without prompt.labels"),
        ({"labels": ["x", "y"], "turn": "{prompt}"}, "prompt.turn: must have"),
    ],
)
def test_bad_label_sets_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptConfig(template=TEMPLATE, **settings)


def test_means_without_a_winner_are_refused() -> None:
    with pytest.raises(ConfigError, match="must have a label for a and one for b"):
        Pairwise(PairwiseConfig(), PromptConfig(template=TEMPLATE, labels=["x", "y"], means=["a", "tie"]))


CHAT = PromptConfig(
    template="{conversation_reference}|{conversation_a}|{conversation_b}",
    labels=["A", "B", "tie"],
    turn="U:{prompt} R:{response}",
    joint=" / ",
    chat=Chat.never,
)


def test_conversations_show_each_exchange_with_the_reference_beside() -> None:
    task = Pairwise(PairwiseConfig(), CHAT)
    texts = {
        "prompt": [["q1", "{response}"]],
        "response_a": [["a1", "a2"]],
        "response_b": [["b1", None]],
        "reference": [["r1"]],
    }
    table = pa.table({name: pa.array(turns, pa.list_(pa.string())) for name, turns in texts.items()})
    prepared = task.prepare(table, ByteTokenizer(), 1024)
    first, second = (bytes(t for t in request if t < BOS).decode() for request in prepared.requests)
    reference, a, b = ("U:q1 R:r1 / U:{response} R:", "U:q1 R:a1 / U:{response} R:a2", "U:q1 R:b1 / U:{response} R:")
    assert first == f"{reference}|{a}|{b}"
    assert second == f"{reference}|{b}|{a}"
    assert task.answered.names[-2:] == ["cut_response_b", "cut_reference"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{conversation_a} {conversation_b} {prompt}", "no slot {prompt} beside conversations"),
        ("{conversation_a} {response_b}", "unknown: {conversation_a}"),
        ("{prompt} {response_a} {response_b} {rubric}", "unknown: {rubric}"),
    ],
)
def test_other_slots_are_refused(template: str, message: str) -> None:
    prompt = PromptConfig(template=template, labels=["A", "B"], turn="{prompt}{response}")
    with pytest.raises(ConfigError, match=message):
        Pairwise(PairwiseConfig(), prompt)


def test_conversations_need_to_know_how_turns_are_written() -> None:
    prompt = PromptConfig(template="{conversation_a} {conversation_b}", labels=["A", "B"])
    with pytest.raises(ConfigError, match=r"prompt\.turn: is needed"):
        Pairwise(PairwiseConfig(), prompt)


def packaged(name: str) -> PromptConfig:
    content = yaml.safe_load((Path(conf.__file__).parent / "prompt" / f"{name}.yaml").read_text())
    del content["defaults"]
    return PromptConfig(**content)


@pytest.mark.parametrize(
    ("mode", "name", "question", "answered"),
    [
        (Mode.labels, "pairwise_en", "0513e0c83db6d67c", "e4c03309377a871a"),
        (Mode.text, "reasoned_ja", "100d490fd5186bfc", "c4efc2db539d6b8e"),
    ],
)
def test_prompts_of_before_ask_the_same_question_as_before(mode: Mode, name: str, question: str, answered: str) -> None:
    """Stores and unfinished runs know it by its hash; the hashes were taken before there were other label sets."""
    task = judging_task(PairwiseConfig(mode=mode), written(), packaged(name), lambda _: None, list)
    assert _hash(json.dumps(task.question(), sort_keys=True)) == question
    assert _hash(str(task.answered)) == answered


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (lambda p: Pairwise(PairwiseConfig(), p), {"decimals": True}, "prompt.decimals: has no effect on a judge"),
        (lambda p: Pairwise(PairwiseConfig(), p), {"turn": "{prompt}{response}"}, "prompt.turn: has no effect without"),
        (lambda p: Generate(SamplingConfig(), p), {"turn": "{prompt}{response}"}, "prompt.turn: has no effect without"),
        (
            lambda p: JudgeRelevance(RerankConfig(), p),
            {"means": ["a", "b"]},
            "prompt.means: has no effect on a reranker",
        ),
    ],
)
def test_settings_of_other_jobs_are_refused(
    make: Callable[[PromptConfig], AnyTask], settings: dict[str, Any], message: str
) -> None:
    slots = "{question} {passage}" if "means" in settings else TEMPLATE
    with pytest.raises(ConfigError, match=message):
        make(PromptConfig(template=slots, labels=["x", "y"], **settings))
