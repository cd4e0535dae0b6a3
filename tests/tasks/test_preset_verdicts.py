"""What judges write under the field's pairwise prompts, and the verdict that a reader would take: a table for each."""

from pathlib import Path

import pytest
import yaml

import conf
from lib.engines.byte_tokenizer import ByteTokenizer
from lib.tasks.pairwise import Mode, Pairwise, PairwiseConfig
from lib.tasks.prompts.prompt import PromptConfig
from lib.tasks.sampling import SamplingConfig
from lib.tasks.written.verdict import verdict
from lib.tasks.written.written_verdict import WrittenVerdict
from lib.types import Tokenizer

MT_BENCH = [
    ("Both explain it; assistant A gives the proof.\n\nMy final verdict is: [[A]]", "A"),
    ("[[B]]", "B"),
    ("Both are equally good. [[C]]", "C"),
    ("**[[B]]**", "B"),
    ("Final Verdict: [[C]] (tie)", "C"),
    ('I write "[[A]]" if A is better, "[[B]]" if B is. Here: [[B]]', "B"),
    ("Assistant B is more detailed, but wrong. [[A]]\n", "A"),
    ("[[A]] since it names both causes.", "A"),
    ("［［Ａ］］", "A"),
    ("<think>Perhaps [[A]]?</think>[[B]]", "B"),
    ("\\boxed{C}", "C"),
    ("[[A]] or [[B]], I can't say.", None),
    ("[[D]]", None),
    ("[[A/B]]", None),
    ("[[Tie]]", None),
    ("I'm sorry, but I can't judge that.", None),
    ("Both assistants answered", None),
    ("<think>It is [[A]]", None),
    ("", None),
]
ARENA_HARD = [
    ("My own answer: 42.\n\nMy final verdict is: [[A>>B]]", "A>>B"),
    ("My final verdict is tie: [[A=B]]", "A=B"),
    ("[[A>B]]", "A>B"),
    ("**[[B>>A]]**", "B>>A"),
    ("[[ B>A ]]", "B>A"),
    ("[[A＞＞B]]", "A>>B"),
    ("Assistant A is significantly better: [[A>>B]]", "A>>B"),
    ("[[A>>B]] Assistant A is better than Assistant B.", "A>>B"),
    ("First I leaned to [[A>B]]. My final verdict is: [[B>A]]", "B>A"),
    ("My final verdict is: [[A>B]]. [[A>B]]", "A>B"),
    ("My final verdict is: A>>B", "A>>B"),
    ("Verdict: B>A", "B>A"),
    ("[[A>>B]] or [[A>B]]", None),
    ("[[A]]", None),
    ("[[A>>>B]]", None),
    ("[[A<B]]", None),
    ("I can't choose.", None),
    ("My final verdict is: [[", None),
]
RAKUDA = [
    ("Aの回答の方が正確です。\n判定：A", "A"),
    ("判定：B", "B"),
    ("判定: Ｂ", "B"),
    ("判定：引き分け", "引き分け"),
    ("**判定：引き分け**", "引き分け"),
    ("[[A]]", "A"),
    ("[[引き分け]]", "引き分け"),
    ("【判定】A", "A"),
    ("どちらも同じくらいです。判定は引き分けです。", "引き分け"),
    ("最初は判定：Aと考えましたが、誤りがありました。\n判定：B", "B"),
    ("判定：AまたはB", None),
    ("判定：どちらでもない", None),
    ("申し訳ありませんが、判定できません。", None),
    ("AもBも良い回答です。", None),
]
LLMBAR = [
    ("Verdict: A", "A"),
    ("Verdict: B.", "B"),
    ("**Verdict:** B", "B"),
    ("A", "A"),
    ("[[B]]", "B"),
    ("Output A drops the second line.\nVerdict: B", "B"),
    ("Verdict: Output A", None),  # "Output" is no word of a verdict's owner
    ("Verdict: tie", None),
    ("Verdict: neither", None),
    ("Verdict: A or B", None),
]
CASES = {
    "mt_bench_pairwise": MT_BENCH,
    "mt_bench_pairwise_reference": MT_BENCH,
    "mt_bench_pairwise_multi_turn": MT_BENCH,
    "mt_bench_pairwise_reference_multi_turn": MT_BENCH,
    "arena_hard": ARENA_HARD,
    "rakuda": RAKUDA,
    "llmbar": LLMBAR,
}


def preset(name: str) -> PromptConfig:
    content = yaml.safe_load((Path(conf.__file__).parent / "prompt" / f"{name}.yaml").read_text(encoding="utf-8"))
    del content["defaults"], content["aggregate"]
    return PromptConfig(**content)


@pytest.mark.parametrize(("name", "text", "wanted"), [(name, *case) for name, cases in CASES.items() for case in cases])
def test_a_verdict_is_read(name: str, text: str, wanted: str | None) -> None:
    labels = preset(name).labels
    found = verdict(text, labels)
    assert (None if found is None else labels[found]) == wanted


@pytest.mark.parametrize("name", [*CASES, "alpaca_eval_2"])
def test_a_preset_begins_the_answer_where_labels_follow(name: str, tokenizer: Tokenizer) -> None:
    prompt = preset(name)
    task = Pairwise(PairwiseConfig(), prompt.for_labels)
    task.check(tokenizer, 4096)
    texts = [[f"text of {text}"] for text in task.texts]
    request = task._render(tokenizer)(texts)[0]
    text = tokenizer.decode(request)
    assert text.endswith(prompt.label_prefix)
    assert all(one in text for (one,) in texts)


@pytest.mark.parametrize("name", CASES)
def test_a_preset_may_be_answered_in_writing(name: str) -> None:
    config = PairwiseConfig(mode=Mode.text)
    WrittenVerdict(config, SamplingConfig(max_new_tokens=64), preset(name).for_text).check(ByteTokenizer(), 4096)
