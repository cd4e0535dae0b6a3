from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import conf
from lib.engines.byte_tokenizer import BOS, ByteTokenizer
from lib.errors import ConfigError
from lib.tasks.base import Result
from lib.tasks.grading.grading import GradeConfig
from lib.tasks.grading.label_grade import LabelGrade
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.types import Answers, Label, TokenIds, Tokenizer
from tests.tasks.tables import concluded, rows

TEN = [f"{grade}]]" for grade in range(1, 11)]
PLAIN = PromptConfig(template="{question} {answer}", labels=["1", "2", "3"], chat=Chat.never)
BY_CRITERION = PromptConfig(template="{criterion}: {answer}", labels=["1", "2", "3"], chat=Chat.never)
PRESETS = [
    "mt_bench_single", "mt_bench_single_reference", "mt_bench_single_turn_2", "mt_bench_single_reference_turn_2",
    "elyza_tasks_100", "nejumi_ja", "prometheus_absolute", "rubric_en", "rubric_ja",
]  # fmt: skip


def preset(name: str) -> PromptConfig:
    content = yaml.safe_load((Path(conf.__file__).parent / "prompt" / f"{name}.yaml").read_text())
    del content["defaults"]
    return PromptConfig(**content)


class Told:
    """Gives the labels these probabilities: by the texts that requests hold."""

    def __init__(self, by_text: dict[str, Sequence[float]], errors: dict[int, str] | None = None) -> None:
        self._by_text = by_text
        self._errors = errors or {}
        self.requests: list[str] = []
        self.memory = 0

    def label_logprobs(self, prompts: Sequence[TokenIds], labels: Sequence[Label]) -> Answers:
        self.requests = [bytes(token for token in prompt if token < BOS).decode() for prompt in prompts]
        chosen = [next(p for text, p in self._by_text.items() if text in request) for request in self.requests]
        values = np.log(np.array(chosen, np.float32))
        values[list(self._errors)] = np.nan
        return Answers(values, self._errors)


def graded(task: LabelGrade, table: Any, engine: Any, tokenizer: Tokenizer | None = None) -> Result:
    prepared = task.prepare(table, tokenizer or ByteTokenizer(), 4096)
    return concluded(task, table, prepared, task.ask(engine, prepared))


def test_the_grade_is_the_expected_one() -> None:
    task = LabelGrade(GradeConfig(), PLAIN)
    table = rows({"question": [["q"], ["q"]], "answer": [["good"], ["bad"]]})
    engine = Told({"good": [0.1, 0.1, 0.6], "bad": [0.4, 0.4, 0.1]})
    found = graded(task, table, engine).columns.to_pylist()
    assert [row["grade"] for row in found] == pytest.approx([(0.1 + 0.2 + 1.8) / 0.8, (0.4 + 0.8 + 0.3) / 0.9])
    assert [row["likeliest"] for row in found] == [3, 1]
    assert [row["label_mass"] for row in found] == pytest.approx([0.8, 0.9])
    assert found[0]["logprobs"] == pytest.approx(np.log([0.1, 0.1, 0.6]), abs=1e-6)
    assert [row["tokens"] for row in found] == [len("q good") + 1, len("q bad") + 1]  # the BOS
    assert [row["cut"] for row in found] == [0, 0]


def test_each_criterion_is_asked_and_their_mean_is_the_grade() -> None:
    config = GradeConfig(criteria={"clear": "Is it clear?", "right": "Is it right?"})
    task = LabelGrade(config, BY_CRITERION)
    assert task.fields == ["answer"]
    engine = Told({"clear?: ": [0.8, 0.1, 0.1], "right?: ": [0.05, 0.05, 0.8]}, {3: "broken"})
    found = graded(task, rows({"answer": [["one"], ["two"]]}), engine)
    assert engine.requests == ["Is it clear?: one", "Is it right?: one", "Is it clear?: two", "Is it right?: two"]
    first = found.columns.to_pylist()[0]
    assert first["grade_clear"] == pytest.approx(1.3)
    assert first["grade_right"] == pytest.approx((0.05 + 0.1 + 2.4) / 0.9)
    assert first["grade"] == pytest.approx((first["grade_clear"] + first["grade_right"]) / 2)
    assert (first["likeliest_clear"], first["likeliest_right"]) == (1, 3)
    assert found.errors == {1: "criterion right: broken"}


def test_without_criteria_their_slot_is_a_column() -> None:
    assert LabelGrade(GradeConfig(), BY_CRITERION).fields == ["answer", "criterion"]


@pytest.mark.parametrize(
    ("config", "prompt", "message"),
    [
        ({"criteria": {"a": "x"}}, PLAIN, r"prompt.template has no slot \{criterion\}"),
        ({}, PromptConfig(template="{a}", labels=["A", "B"]), "must be the grades"),
    ],
)
def test_what_can_not_be_graded_is_refused(config: dict[str, Any], prompt: PromptConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LabelGrade(GradeConfig(**config), prompt)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"criteria": {"a b": "x"}}, "'a b' names columns"),
        ({"criteria": {"a": " "}}, "grade.criteria.a: is empty"),
        ({"min_label_mass": 1.0}, "grade.min_label_mass=1.0: must be in"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GradeConfig(**settings)


def test_ten_is_told_from_one(tokenizer: Tokenizer) -> None:
    bare = PromptConfig(template="{a}", labels=[str(n) for n in range(1, 11)], label_prefix="[[")
    ended = PromptConfig(template="{a}", labels=TEN, label_prefix="[[")
    with pytest.raises(ConfigError, match="one label begins another"):
        LabelGrade(GradeConfig(), bare.for_labels).check(tokenizer, 4096)
    LabelGrade(GradeConfig(), ended.for_labels).check(tokenizer, 4096)


def test_a_model_that_does_not_want_to_grade_stops_the_run() -> None:
    task = LabelGrade(GradeConfig(), PLAIN)
    found = graded(task, rows({"question": [["q"]], "answer": [["a"]]}), Told({"": [0.01, 0.01, 0.01]}))
    with pytest.raises(ConfigError, match=r"label mass 0.03: .*grade.mode=text lets it write"):
        task.check_first(found.columns)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_begins_the_answer_where_grades_follow(name: str, tokenizer: Tokenizer) -> None:
    prompt = preset(name)
    task = LabelGrade(GradeConfig(), prompt.for_labels)
    task.check(tokenizer, 4096)
    table = rows({slot: [[f"text of {slot}"]] for slot in task.fields})
    (request,) = task.prepare(table, tokenizer, 4096).requests
    text = tokenizer.decode(request)
    assert text.endswith(prompt.label_prefix)
    assert all(f"text of {slot}" in text for slot in task.fields)
