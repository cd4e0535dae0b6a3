from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

import conf
from lib.engines.byte_tokenizer import BOS, ByteTokenizer
from lib.engines.dummy import DummyConfig, DummyEngine
from lib.errors import ConfigError
from lib.tasks.base import Result
from lib.tasks.pairwise import PairwiseConfig, Swap
from lib.tasks.prompts.prompt import Chat, PromptConfig
from lib.tasks.sampling import SamplingConfig
from lib.tasks.written.verdict import verdict
from lib.tasks.written.written_verdict import WrittenVerdict
from lib.types import Completion, Completions, Message, Sampling, TokenIds, Tokenizer
from tests.tasks.tables import concluded

Rows = Callable[..., pa.Table]
LIMIT = 512
NAMES = ("p_a", "p_b", "p_tie")
TEMPLATE = "Q:{prompt} 1:{response_a} 2:{response_b}"
PLAIN = PromptConfig(template=TEMPLATE, labels=["A", "B", "tie"], chat=Chat.never)
BATTLE = (["p"], ["good"], ["bad"])


def packaged(name: str) -> PromptConfig:
    content = yaml.safe_load((Path(conf.__file__).parent / "prompt" / f"{name}.yaml").read_text())
    del content["defaults"]
    return PromptConfig(**content)


def judge(swap: Swap = Swap.both, prompt: PromptConfig = PLAIN, **generate: Any) -> WrittenVerdict:
    sampling = {"max_new_tokens": 64, **generate}
    return WrittenVerdict(PairwiseConfig(swap=swap), SamplingConfig(**sampling), prompt)


def drawn(n: int, **settings: Any) -> WrittenVerdict:
    return judge(n=n, temperature=1.0, **settings)


class Writer:
    """Answers each request with given samples: a text that ended, or (text, tokens) of one that the limit ended."""

    def __init__(self, *answers: Sequence[str | tuple[str, int]], errors: dict[int, str] | None = None) -> None:
        self._answers = answers
        self._errors = errors or {}
        self.memory = 0
        self.seeds: list[int] = []

    def generate(self, prompts: Sequence[TokenIds], sampling: Sampling, seeds: Sequence[int]) -> Completions:
        assert len(prompts) == len(self._answers) == len(seeds)
        self.seeds = list(seeds)
        return Completions([list(map(_completion, samples)) for samples in self._answers], self._errors)


def _completion(answer: str | tuple[str, int]) -> Completion:
    if isinstance(answer, str):
        return Completion(answer, list(answer.encode()), "stop")
    text, tokens = answer
    return Completion(text, [0] * tokens, "length")


def result(task: WrittenVerdict, rows: pa.Table, engine: Any, tokenizer: Tokenizer | None = None) -> Result:
    prepared = task.prepare(rows, tokenizer or ByteTokenizer(), LIMIT)
    found = concluded(task, rows, prepared, task.ask(engine, prepared))
    assert found.columns.num_rows == rows.num_rows
    return found


def row(found: Result, number: int = 0) -> dict[str, Any]:
    return found.columns.to_pylist()[number]


def probabilities(found: Result, prefix: str = "", number: int = 0) -> list[float]:
    return [row(found, number)[f"{prefix}{name}"] for name in NAMES]


def read(request: TokenIds) -> str:
    return bytes(token for token in request if token < BOS).decode()


def test_the_second_order_is_swapped_back(rows: Rows) -> None:
    battles = rows((["p0"], ["a0"], ["b0"]), (["p1"], ["a1"], ["b1"]))
    requests = judge().prepare(battles, ByteTokenizer(), LIMIT).requests
    assert [read(request) for request in requests[:2]] == ["Q:p0 1:a0 2:b0", "Q:p0 1:b0 2:a0"]
    found = result(judge(), battles, Writer(["Not B. Verdict: A"], ["Not A. Verdict: B"], ["A"], ["A"]))
    assert not found.errors
    assert [probabilities(found, prefix) for prefix in ("", "ab_", "ba_")] == [[1, 0, 0]] * 3
    assert [probabilities(found, prefix, 1) for prefix in ("", "ab_", "ba_")] == [[0.5, 0.5, 0], [1, 0, 0], [0, 1, 0]]
    assert row(found)["texts"] == ["Not B. Verdict: A", "Not A. Verdict: B"]
    assert row(found)["verdicts"] == ["A", "B"]  # as written
    assert row(found)["new_tokens"] == len("Not B. Verdict: A" + "Not A. Verdict: B")
    assert row(found)["tokens"] == sum(map(len, requests[:2]))


def test_one_order(rows: Rows) -> None:
    found = result(judge(Swap.none), rows(BATTLE, BATTLE), Writer(["tie"], ["B"]))
    assert probabilities(found) == probabilities(found, "ab_") == [0, 0, 1]
    assert probabilities(found, "", 1) == [0, 1, 0]
    assert probabilities(found, "ba_") == [None] * 3


def test_samples_are_a_distribution_over_those_with_a_verdict(rows: Rows) -> None:
    first = ["A", "tie", "Verdict: A", "I can't say."]
    second = ["B", ("so far A", 64), "A", ("<think>B", 64)]
    found = result(drawn(4), rows(BATTLE), Writer(first, second))
    assert not found.errors
    assert probabilities(found, "ab_") == pytest.approx([2 / 3, 0, 1 / 3])
    assert probabilities(found, "ba_") == pytest.approx([1 / 2, 1 / 2, 0])
    assert probabilities(found) == pytest.approx([7 / 12, 1 / 4, 1 / 6])
    assert row(found)["verdicts"] == ["A", "tie", "A", None, "B", None, "A", None]
    assert (row(found)["no_verdict"], row(found)["unfinished"]) == (3, 2)
    assert len(row(found)["texts"]) == 8


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        (["Neither, I think."], "the answer names none of A, B, tie (ends: 'Neither, I think.')"),
        ([""], "the answer names none of A, B, tie (ends: '')"),
        (["x" * 100], f"the answer names none of A, B, tie (ends: '{'x' * 60}')"),
        ([("First, A", 64)], "was cut off after 64 tokens, so raise generate.max_new_tokens (ends: 'First, A')"),
        ([("First, A", 40)], "was cut off after 40 tokens, so raise engine.max_model_len (ends: 'First, A')"),
        (
            ["no", ("A or", 64), "none"],
            "names none of A, B, tie [2 of 3]; was cut off after 64 tokens, so raise generate.max_new_tokens [1 of 3] "
            "(ends: 'A or')",
        ),
    ],
)
def test_no_verdict_is_a_failed_row_and_never_a_tie(samples: list[Any], why: str, rows: Rows) -> None:
    task = drawn(len(samples)) if len(samples) > 1 else judge()
    fine = ["A"] * len(samples)
    found = result(task, rows(BATTLE, BATTLE, BATTLE), Writer(fine, fine, fine, samples, fine, fine))
    assert list(found.errors) == [1]
    assert not found.unanswered
    assert row(found, 1)["texts"][len(samples) :] == [s if isinstance(s, str) else s[0] for s in samples]
    assert found.errors[1].startswith("no verdict: with B first the answer ")
    assert found.errors[1].endswith(why)
    assert probabilities(found, "", 1) == [None] * 3
    assert probabilities(found, "", 2) == [0.5, 0.5, 0]


def test_a_limit_of_prompt_and_answer_is_named_where_it_ended_an_answer(rows: Rows) -> None:
    for given in ({"max_new_tokens": None}, {}):
        found = result(judge(Swap.none, max_length=300, **given), rows(BATTLE), Writer([("A", 50)]))
        assert "cut off after 50 tokens, so raise generate.max_length" in found.errors[0]


def test_a_failed_request_fails_its_row_with_the_engines_reason(rows: Rows) -> None:
    found = result(judge(), rows(BATTLE, BATTLE), Writer(["A"], ["A"], [], ["?"], errors={2: "too long"}))
    assert found.errors == {1: "too long"}
    poison = (["p"], ["POISON"], ["b"])
    engine = DummyEngine(DummyConfig(fail_on="POISON"))
    found = result(judge(choice=["A", "B"]), rows(BATTLE, poison, BATTLE), engine)
    assert list(found.errors) == [1]
    assert "POISON" in found.errors[1]


def test_reasoning_that_the_prompt_has_opened_and_nothing_closed_is_no_verdict(rows: Rows) -> None:
    prompt = PromptConfig(template=f"{TEMPLATE}\n<think>\n", labels=PLAIN.labels, chat=Chat.never)
    engine = Writer(["A, surely"], ["A, surely</think> B"])
    found = result(judge(Swap.none, prompt), rows(BATTLE, BATTLE), engine)
    assert list(found.errors) == [0]
    assert row(found, 1)["verdicts"] == ["B"]
    assert row(found, 1)["texts"] == ["A, surely</think> B"]  # what the judge wrote, and no more


@pytest.mark.parametrize(
    ("prefix", "answer", "label"),
    [
        ("Verdict:", " A because B is wrong", "A"),
        ("[[", "B]] It is shorter.", "B"),
        ("Verdict: not", " A", None),
        ("<think>", "A, surely", None),
        ("<think>", "A</think>B", "B"),
    ],
)
def test_the_answer_that_the_prompt_has_begun_is_read_with_the_rest(
    prefix: str, answer: str, label: str | None, rows: Rows
) -> None:
    prompt = PromptConfig(template=TEMPLATE, labels=PLAIN.labels, chat=Chat.never, answer_prefix=prefix)
    found = result(judge(Swap.none, prompt), rows(BATTLE), Writer([answer]))
    assert row(found)["verdicts"] == [label]
    assert row(found)["texts"] == [answer]


def test_reasoning_opened_before_an_answer_prefix_is_seen(rows: Rows) -> None:
    prompt = PromptConfig(template=f"{TEMPLATE}<think>", labels=PLAIN.labels, chat=Chat.never, answer_prefix="So:")
    found = result(judge(Swap.none, prompt), rows(BATTLE, BATTLE), Writer(["A"], ["A</think>B"]))
    assert [row(found, n)["verdicts"] for n in (0, 1)] == [[None], ["B"]]


def test_seeds_are_of_the_row_and_the_order(rows: Rows) -> None:
    battles = rows(BATTLE, (["p1"], *BATTLE[1:]))
    answers = [["A"] * 2] * 4
    whole, half, other = Writer(*answers), Writer(*answers[:2]), Writer(*answers)
    result(drawn(2), battles, whole)
    assert len(set(whole.seeds)) == 4
    result(drawn(2), battles.slice(1), half)  # as after an interruption
    assert half.seeds == whole.seeds[2:]
    result(drawn(2, seed=1), battles, other)
    assert not set(other.seeds) & set(whole.seeds)
    assert (drawn(2).draws, judge().draws) == (True, False)


def test_the_dummy_engine_draws_verdicts_that_the_batch_does_not_change(rows: Rows) -> None:
    battles = rows(*[([f"p{n}"], ["a"], ["b"]) for n in range(6)])
    task, engine = drawn(8, choice=["A", "B is better than A? No: B", "tie"]), DummyEngine(DummyConfig())
    together = result(task, battles, engine).columns
    alone = [result(task, battles.slice(n, 1), engine).columns for n in range(6)]
    assert together.equals(pa.concat_tables(alone))
    assert {v for found in together["verdicts"].to_pylist() for v in found} == set(PLAIN.labels)
    shares = together["ab_p_a"].to_pylist()
    assert all(share * 8 == int(share * 8) for share in shares)
    assert len(set(shares)) > 1


def test_room_for_the_answer_is_kept_and_planned_with(rows: Rows, tokenizer: Tokenizer) -> None:
    long = (["why"], ["because " * 300], ["so " * 300])
    prepared = judge(max_new_tokens=200).prepare(rows(long), tokenizer, LIMIT)
    assert LIMIT - 200 - 10 <= max(map(len, prepared.requests)) <= LIMIT - 200
    assert prepared.new_tokens == 200
    assert prepared.cut[0] > 0
    # With max_length only a token is sure to be left, and what is left is planned with.
    prepared = judge(max_new_tokens=None, max_length=100).prepare(rows(long, BATTLE), tokenizer, LIMIT)
    shortest, longest = min(map(len, prepared.requests)), max(map(len, prepared.requests))
    assert longest < 100
    assert prepared.new_tokens == 100 - shortest


def test_a_limit_without_room_for_the_answer_is_refused() -> None:
    judge(max_new_tokens=400).check(ByteTokenizer(), LIMIT)
    with pytest.raises(ConfigError, match=r"engine\.max_model_len=512: .* the answer takes up to 500"):
        judge(max_new_tokens=500).check(ByteTokenizer(), LIMIT)


@pytest.mark.parametrize("labels", [["A"], ["A", "B", "A"], ["A", "Ａ", "tie"], ["m", "M"]])
def test_labels_must_differ_and_mean_something(labels: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^prompt\.labels="):
        judge(prompt=PromptConfig(template=TEMPLATE, labels=labels))


def test_labels_that_begin_one_another_are_fine_here(rows: Rows) -> None:
    task = judge(Swap.none, PromptConfig(template=TEMPLATE, labels=["A", "AB", "ABC"], chat=Chat.never))
    task.check(ByteTokenizer(), LIMIT)
    found = result(task, rows(BATTLE, BATTLE), Writer(["AB"], ["Not ABC. So: A"]))
    assert [row(found, n)["verdicts"] for n in (0, 1)] == [["AB"], ["A"]]


def test_slots_are_exactly_the_three() -> None:
    with pytest.raises(ConfigError, match=r"^prompt\.template: .*missing: \{response_b\}"):
        judge(prompt=PromptConfig(template="{prompt} {response_a}", labels=PLAIN.labels))


@pytest.mark.parametrize("name", ["reasoned_en", "reasoned_ja", "pairwise_en", "pairwise_ja"])
def test_packaged_prompts(name: str, rows: Rows, smollm2: Tokenizer) -> None:
    prompt = packaged(name)
    task = judge(prompt=prompt, max_new_tokens=512)
    task.check(smollm2, 1024)
    ab, ba = (smollm2.decode(request) for request in task.prepare(rows(BATTLE), smollm2, 1024).requests)
    assert ab.index("good") < ab.index("bad")
    assert ba.index("bad") < ba.index("good")


@pytest.mark.parametrize(("name", "marks"), [("reasoned_en", ("Verdict: ", " (")), ("reasoned_ja", ("判定：", "（"))])
def test_the_last_lines_that_prompts_ask_for_are_verdicts(name: str, marks: tuple[str, str]) -> None:
    prompt = packaged(name)
    lines = [line.partition(marks[1])[0] for line in prompt.template.splitlines() if line.startswith(marks[0])]
    assert [verdict(line, prompt.labels) for line in lines] == [0, 1, 2]


def test_a_real_tokenizers_open_reasoning_is_seen(rows: Rows, smollm2: Tokenizer) -> None:
    class Thinker:
        """SmolLM2's tokenizer for a model whose template opens the reasoning."""

        has_chat_template = True

        def __getattr__(self, name: str) -> Any:
            return getattr(smollm2, name)

        def chat_prompt(self, messages: Sequence[Message], **how: bool) -> list[int]:
            return [*smollm2.chat_prompt(messages, **how), *smollm2.encode("<think>\n" if how["thinking"] else "")]

    for thinking in (True, False):
        prompt = PromptConfig(template=TEMPLATE, labels=PLAIN.labels, thinking=thinking)
        found = result(judge(Swap.none, prompt), rows(BATTLE), Writer(["A"]), Thinker())
        assert bool(found.errors) is thinking


def test_identity_names_all_that_changes_results() -> None:
    assert judge().identity() == judge().identity()
    others = [judge(Swap.none), judge(max_new_tokens=65), judge(seed=1), judge(prompt=packaged("reasoned_en"))]
    assert all(other.identity() != judge().identity() for other in others)
