from collections.abc import Sequence
from typing import Any

import pytest

from lib.engines.byte_tokenizer import ByteTokenizer
from lib.tasks.base import Result
from lib.tasks.grading.grading import GradeConfig
from lib.tasks.grading.text_grade import TextGrade
from lib.tasks.pairwise import Mode
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.tasks.sampling import SamplingConfig
from lib.types import Completion, Completions, Sampling, TokenIds
from tests.tasks.grading.test_label_grade import PRESETS, preset
from tests.tasks.tables import concluded, rows

FIVE = ["1", "2", "3", "4", "5"]
PLAIN = PromptConfig(template="{answer}", labels=FIVE, chat=Chat.never)
BY_CRITERION = PromptConfig(template="{criterion}: {answer}", labels=FIVE, chat=Chat.never)
TEXT = GradeConfig(mode=Mode.text)


class Writer:
    """Answers each request with given samples; one that is marked with … was cut off."""

    def __init__(self, *answers: Sequence[str], errors: dict[int, str] | None = None) -> None:
        self._answers = answers
        self._errors = errors or {}
        self.seeds: list[int] = []
        self.memory = 0

    def generate(self, prompts: Sequence[TokenIds], sampling: Sampling, seeds: Sequence[int]) -> Completions:
        assert len(prompts) == len(self._answers) == len(seeds)
        self.seeds = list(seeds)
        return Completions([[_completion(text) for text in samples] for samples in self._answers], self._errors)


def _completion(text: str) -> Completion:
    cut = text.endswith("…")
    return Completion(text, [0] * 64 if cut else list(text.encode()), "length" if cut else "stop")


def task(config: GradeConfig = TEXT, prompt: PromptConfig = PLAIN, **generate: Any) -> TextGrade:
    return TextGrade(config, prompt, SamplingConfig(max_new_tokens=64, **generate))


def graded(asked: TextGrade, table: Any, engine: Writer) -> Result:
    prepared = asked.prepare(table, ByteTokenizer(), 512)
    return concluded(asked, table, prepared, asked.ask(engine, prepared))


def test_the_number_that_is_written_is_the_grade() -> None:
    found = graded(task(), rows({"answer": [["a"], ["b"]]}), Writer(["Good. [[4]]"], ["Score: 2"]))
    assert found.columns["grade"].to_pylist() == [4, 2]
    assert found.columns["texts"].to_pylist() == [["Good. [[4]]"], ["Score: 2"]]
    assert found.errors == {}


def test_samples_are_averaged_without_those_that_have_no_grade() -> None:
    drawn = task(n=4, temperature=1.0)
    engine = Writer(["[[4]]", "[[5]]", "It is good.", "[[1]] …"])
    (row,) = graded(drawn, rows({"answer": [["a"]]}), engine).columns.to_pylist()
    assert row["grade"] == 4.5
    assert row["grades"] == [4, 5, None, None]
    assert (row["no_grade"], row["unfinished"]) == (2, 1)


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        (["It is good."], "no grade: the answer ends with no whole number from 1 to 5 (ends: 'It is good.')"),
        (["[[6]]"], "no grade: the answer ends with no whole number from 1 to 5 (ends: '[[6]]')"),
        (["[[4]] …"], "no grade: the answer was cut off after 64 tokens, so raise generate.max_new_tokens"),
        (["no", "so …"], "ends with no whole number from 1 to 5 [1 of 2]; was cut off after 64 tokens"),
    ],
)
def test_a_row_without_a_grade_fails_with_its_reason(samples: list[str], why: str) -> None:
    drawn = {"n": len(samples), "temperature": 1.0} if len(samples) > 1 else {}
    found = graded(task(**drawn), rows({"answer": [["a"]]}), Writer(samples))
    assert why in found.errors[0]
    assert found.unanswered == set()  # the answer is kept
    assert found.columns["texts"].to_pylist() == [samples]


def test_a_request_that_the_engine_failed_has_no_answer() -> None:
    found = graded(task(), rows({"answer": [["a"], ["b"]]}), Writer([], ["[[3]]"], errors={0: "too long"}))
    assert found.errors == {0: "too long"}
    assert found.unanswered == {0}
    assert found.columns["grade"].to_pylist()[1] == 3


def test_each_criterion_is_asked_with_a_seed_of_its_own() -> None:
    config = GradeConfig(mode=Mode.text, criteria={"clear": "Is it clear?", "right": "Is it right?"})
    engine = Writer(["[[2]]"], ["[[5]]"], ["[[4]]"], ["none"])
    found = graded(task(config, BY_CRITERION, temperature=1.0), rows({"answer": [["a"], ["b"]]}), engine)
    first, second = found.columns.to_pylist()
    assert (first["grade"], first["grade_clear"], first["grade_right"]) == (3.5, 2, 5)
    assert second["grades_clear"] == [4]
    assert found.errors.keys() == {1}
    assert found.errors[1].startswith("criterion right: no grade")
    assert len(set(engine.seeds)) == 4


def test_what_the_prompt_has_begun_counts_as_part_of_the_answer() -> None:
    begun = PromptConfig(template="{answer}", labels=FIVE, chat=Chat.never, answer_prefix="Rating: [[")
    found = graded(task(prompt=begun), rows({"answer": [["a"]]}), Writer(["4]] since it is right."]))
    assert found.columns["grade"].to_pylist() == [4]


ANSWERS = {  # of each preset what its judge is to write, and the grade in it
    "mt_bench_single": ("It is right, but brief.\nRating: [[7.5]]", 7.5),
    "mt_bench_single_reference": ("The assistant's result is 12, not 14.\n\n**Rating: [[2]]**", 2),
    "mt_bench_single_turn_2": ("Turn 1 deserved [[9]].\nRating: [[10]]", 10),
    "mt_bench_single_reference_turn_2": ("Rating: [[1]]", 1),
    "elyza_tasks_100": ("正解例と一致しています。\n評価：[[5]]", 5),
    "nejumi_ja": ("誤りがあります。\n評価：[[２]]", 2),
    "prometheus_absolute": ("Feedback: It meets the rubric in part. [RESULT] 3", 3),
    "rubric_en": ("It names no source.\nGrade: [[2]]", 2),
    "rubric_ja": ("自然な文章です。\n評価：[[4]]", 4),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reads_what_it_asks_for(name: str) -> None:
    text, wanted = ANSWERS[name]
    asked = task(prompt=preset(name).for_text)
    table = rows({slot: [["x"]] for slot in asked.fields})
    prepared = asked.prepare(table, ByteTokenizer(), 4096)
    assert prepared.notes.begun == [""]  # it may reason first
    answers = asked.ask(Writer([text]), prepared)
    assert concluded(asked, table, prepared, answers).columns["grade"].to_pylist() == [wanted]
