"""Judging by a classifier: what it is asked, and what its classes say."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lib.engines.byte_tokenizer import ByteTokenizer
from lib.engines.dummy import DummyConfig, DummyEngine
from lib.errors import ConfigError
from lib.tasks.class_verdict import ClassVerdict, class_order
from lib.tasks.judging import judging_task, written
from lib.tasks.pairwise import Mode, PairwiseConfig, Swap
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.tasks.sampling import SamplingConfig
from lib.types import Answers, TokenIds, Tokenizer
from tests.tasks.tables import concluded

Rows = Callable[..., pa.Table]
LIMIT = 512
PROMPT = PromptConfig(template="<p>{prompt}\n<a>{response_a}\n<b>{response_b}", chat=Chat.never)
BATTLE = (["q"], ["one"], ["two"])
UNNAMED = ("LABEL_0", "LABEL_1", "LABEL_2")


class Told:
    """Answers with the probabilities that it was made with, request by request."""

    def __init__(self, *rows: Sequence[float]) -> None:
        self._rows = rows
        self.asked: list[TokenIds] = []

    def class_logprobs(self, prompts: Sequence[TokenIds]) -> Answers:
        self.asked = [*prompts]
        return Answers(np.log(np.array(self._rows, np.float32)))


def judge(swap: Swap = Swap.both, names: tuple[str, ...] = UNNAMED, **rule: Any) -> ClassVerdict:
    return ClassVerdict(PairwiseConfig(mode=Mode.classes, swap=swap, **rule), PROMPT, names)


def result(task: ClassVerdict, rows: pa.Table, engine: Any, tokenizer: Tokenizer | None = None) -> Any:
    prepared = task.prepare(rows, tokenizer or ByteTokenizer(), LIMIT)
    return concluded(task, rows, prepared, task.ask(engine, prepared))


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (UNNAMED, ("A", "B", "tie")),
        (("winner_model_a", "winner_model_b", "winner_tie"), ("A", "B", "tie")),
        (("Tie", "Model A", "model-b"), ("tie", "A", "B")),
        (("b", "draw", "a"), ("B", "tie", "A")),
    ],
)
def test_names_say_what_classes_mean(names: Sequence[str], order: Sequence[str]) -> None:
    assert class_order(names) == order


@pytest.mark.parametrize(
    "names", [("negative", "neutral", "positive"), ("A", "B", "LABEL_2"), ("a", "a", "tie"), ("A", "B"), ("LABEL_0",)]
)
def test_other_names_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"engine\.model: its config\.json calls its classes '.*\(id2label\)"):
        judge(names=names)


def test_both_orders_are_averaged_in_terms_of_the_row(rows: Rows) -> None:
    engine = Told([0.7, 0.2, 0.1], [0.3, 0.5, 0.2])
    found = result(judge(), rows(BATTLE), engine).columns.to_pylist()[0]
    texts = ("<p>q\n<a>one\n<b>two", "<p>q\n<a>two\n<b>one")
    assert engine.asked == [ByteTokenizer().embedding_prompt(text) for text in texts]
    assert [found[f"ab_{name}"] for name in ("p_a", "p_b", "p_tie")] == pytest.approx([0.7, 0.2, 0.1])
    assert [found[f"ba_{name}"] for name in ("p_a", "p_b", "p_tie")] == pytest.approx([0.5, 0.3, 0.2])
    assert [found[name] for name in ("p_a", "p_b", "p_tie")] == pytest.approx([0.6, 0.25, 0.15])
    assert found["verdict"] == "A"
    assert np.exp(found["ba_logprobs"]) == pytest.approx([0.3, 0.5, 0.2])
    assert "label_mass" not in found


def test_the_engine_s_order_of_classes_does_not_matter(rows: Rows) -> None:
    named = judge(Swap.none, names=("tie", "B", "A"))
    found = result(named, rows(BATTLE), Told([0.1, 0.2, 0.7])).columns.to_pylist()[0]
    assert [found[name] for name in ("p_a", "p_b", "p_tie")] == pytest.approx([0.7, 0.2, 0.1])
    assert np.exp(found["ab_logprobs"]) == pytest.approx([0.7, 0.2, 0.1])
    assert found["ba_logprobs"] is None
    assert named.identity()["classes"] == "tie = tie, B = B, A = A"
    assert named.question() == judge(Swap.none, names=("tie", "B", "A"), temperature=2.0).question()
    assert named.question() != judge(Swap.none).question()


def test_the_rule_is_that_of_labels(rows: Rows) -> None:
    found = result(judge(Swap.none, temperature=2.0), rows(BATTLE), Told([0.64, 0.32, 0.04])).columns.to_pylist()[0]
    roots = [math.sqrt(p) for p in (0.64, 0.32, 0.04)]
    assert [found[name] for name in ("p_a", "p_b", "p_tie")] == pytest.approx([root / sum(roots) for root in roots])


def test_rows_that_fail_fail_alone_and_long_ones_are_cut(rows: Rows) -> None:
    battles = rows(BATTLE, (["q"], ["x" * 2000], ["BAD"]), (["q"], ["y" * 2000], ["short"]))
    engine = DummyEngine(DummyConfig(fail_on="BAD"))
    found = result(judge(), battles, engine)
    assert list(found.errors) == [1]
    assert "engine.fail_on" in found.errors[1]
    table = found.columns.to_pylist()
    assert table[2]["cut_response_a"] > 1400
    assert table[2]["p_a"] + table[2]["p_b"] + table[2]["p_tie"] == pytest.approx(1)
    assert table[0]["p_a"] != pytest.approx(table[2]["p_a"])


def test_a_whole_text_is_asked_with_what_the_tokenizer_puts_around_it(rows: Rows, tokenizer: Tokenizer) -> None:
    task = judge(Swap.none)
    (request,) = task.prepare(rows(BATTLE), tokenizer, LIMIT).requests
    assert request == tokenizer.embedding_prompt("<p>q\n<a>one\n<b>two")
    chat = ClassVerdict(task.config, PromptConfig(template=PROMPT.template, chat=Chat.always), UNNAMED)
    (request,) = chat.prepare(rows(BATTLE), tokenizer, LIMIT).requests
    assert request == tokenizer.chat_prompt([{"role": "user", "content": "<p>q\n<a>one\n<b>two"}])


def test_control_tokens_in_texts_are_given_with_a_blank(rows: Rows, smollm2: Tokenizer) -> None:
    (request,) = judge(Swap.none).prepare(rows((["<|im_end|>"], ["a"], ["b"])), smollm2, LIMIT).requests
    assert request == smollm2.embedding_prompt("<p>< |im_end|>\n<a>a\n<b>b")


def test_what_has_no_effect_or_no_room_is_refused() -> None:
    config = PairwiseConfig(mode=Mode.classes)
    with pytest.raises(ConfigError, match=r"prompt\.labels: has no effect with judge\.mode=classes.*classifier_en"):
        ClassVerdict(config, PromptConfig(template=PROMPT.template, labels=["A", "B", "tie"]), UNNAMED)
    with pytest.raises(ConfigError, match=r"prompt\.answer_prefix: has no effect"):
        ClassVerdict(config, PromptConfig(template=PROMPT.template, answer_prefix="A"), UNNAMED)
    with pytest.raises(ConfigError, match=r"engine\.max_model_len=20"):
        judge().check(ByteTokenizer(), 20)
    with pytest.raises(ConfigError, match=r"generate\.max_new_tokens=3: has no effect without judge\.mode=text"):
        judging_task(config, SamplingConfig(max_new_tokens=3), PROMPT, lambda _: None, lambda: UNNAMED)
    assert isinstance(judging_task(config, written(), PROMPT, lambda _: None, lambda: UNNAMED), ClassVerdict)
