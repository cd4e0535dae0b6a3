import json
from pathlib import Path

import pytest

from lib.tasks.written.verdict import verdict

LABELS = ["A", "B", "tie"]
JAPANESE = ["A", "B", "同等"]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A", "A"),
        (" B\n", "B"),
        ("tie.", "tie"),
        ("Verdict: A", "A"),
        ("**B**", "B"),
        ("__B__", "B"),
        ("[[A]]", "A"),
        ("`tie`", "tie"),
        ("The better one is Response A.", "A"),
        ('{"verdict":"B"}', "B"),
        # The other label comes first, or is quoted.
        ("Response A is long, but wrong.\nVerdict: B", "B"),
        ("B is better than A in style. In sum: B", "B"),
        ('The user asked to "answer B", which A does not.\n\nVerdict: tie', "tie"),
        ("Not a tie, and not B. Verdict: A", "A"),
        # None is named.
        ("", None),
        ("Both have merits.", None),
        ("Alpha", None),
        ("BA", None),
        ("A1 or 2B", None),
        ("They are tied, and tie2 is necktie", None),
        ("a, b", None),
        ("Ａ１", None),
    ],
)
def test_english_answers(text: str, label: str | None) -> None:
    assert verdict(text, LABELS) == (None if label is None else LABELS.index(label))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("判定：A", "A"),
        ("判定はBです", "B"),
        ("判定はＢです。", "B"),
        ("回答Aは詳しいが誤りがある。判定：同等", "同等"),
        ("同等ではなく、【B】", "B"),
        ("どちらも良い。", None),
        ("ABテスト", None),
    ],
)
def test_japanese_answers(text: str, label: str | None) -> None:
    assert verdict(text, JAPANESE) == (None if label is None else JAPANESE.index(label))


BEHIND_A_MARK = [  # what stands directly behind the last mark, whatever follows it
    ("Verdict: A (Response A is better than Response B)", "A"),
    ("Verdict: A. Response B has a wrong date.", "A"),
    ("Verdict: A\nNote: B was close.", "A"),
    ("Verdict: A, since B is wrong", "A"),
    ("Verdict: A because of its dates", "A"),
    ("Verdict: A - B is too short", "A"),
    ("Verdict: A; B comes second", "A"),
    ("Verdict: A, not B", "A"),
    ("Verdict: Tie", "tie"),
    ("verdict: TIE", "tie"),
    ("VERDICT: tie!", "tie"),
    ("**Verdict: tie**", "tie"),
    ("**Verdict:** **B**", "B"),
    ("__Verdict__: _B_", "B"),
    ("### Verdict:\n\nB", "B"),
    ("Final verdict: B", "B"),
    ("My verdict is B.", "B"),
    ("My final verdict is: [[B]]", "B"),
    ("Verdict = A", "A"),
    ("Verdict: (B)", "B"),
    ("Verdict: 'B'", "B"),
    ('Verdict: "A"', "A"),
    ("Verdict: <A>", "A"),
    ("Verdict: Assistant B", "B"),
    ("Verdict: Response A is better", "A"),
    ("Verdict: The response B wins", "B"),
    ("Verdict: Model A", "A"),
    ("Verdict: Option B", "B"),
    ("Answer: a", "A"),
    ("Answer: b.", "B"),
    ("Final Answer: **A**", "A"),
    ("Answer: a tie", "tie"),
    ('{"reason": "B lacks dates", "verdict": "A"}', "A"),
    ("A is longer, B is right. Verdict: B", "B"),
    ("Verdict: A at first. On second thought, verdict: B", "B"),
    ("The verdict depends on taste. Verdict: A", "A"),
    ("Ｖｅｒｄｉｃｔ：Ａ", "A"),
    ("[[A]] Response B is wrong.", "A"),
    ("[[ B ]]", "B"),
    ("[[tie]]", "tie"),
    ("[[C]] for a tie would be wrong here. [[A]]", "A"),
    ("So it is \\boxed{B}", "B"),
    ("Verdict: A\nThe correct answer: B.", "A"),
    ("Verdict: A. Response B's answer: B is incorrect.", "A"),
    ("Verdict: [[A]] (not [[B]])", "A"),
    ("Verdict: A: B is worse", "A"),
    ("B is worse so [[A]]", "A"),
    ("[[A]] Note: [[B]] would be biased", "A"),
    ("A is not perfect but I choose [[A]]", "A"),
    ("I can't choose [[A]]", None),
    ("[[A]] is not the better one", None),
    ("Verdict: A tie.", "tie"),
    ("Answer: a is better", "A"),
    ("Winner: A. B has errors", "A"),
    ("The winner is Response B.", "B"),
    ("A\nB was close.", "A"),
    ("Overall, A is better.", "A"),
    ("Response B wins", "B"),
    ("I prefer B.", "B"),
    ("It is a tie.", "tie"),
    # Without a mark, faults and comparisons choose nobody.
    ("Response A fails to follow the instruction.", None),
    ("Overall, A lacks detail.", None),
    ("A is inferior.", None),
    ("Better than B.", None),
    ("Clearly superior to B.", None),
    ("The weaker one is B.", None),
    ("A has three mistakes.", None),
    ("A\nB", None),
    # Side by side.
    ("Verdict: A, B", None),
    ("Verdict: **A**, **B**", None),
    ("Verdict: Response A or Response B", None),
    ("[[A]] or [[B]]", None),
    ("Verdict: [[A]][[B]]", None),
    ("【A】【B】", None),
    ("Verdict: A is incorrect", None),
    ("Verdict: A fails", None),
    ("Verdict: A is inferior to the other", None),
    # Two, none, or denied.
    ("Verdict: A or B", None),
    ("Verdict: A and B are equal", None),
    ("Verdict: A/B", None),
    ("Verdict: A vs B", None),
    ("Verdict: A > B", None),
    ("Verdict: A is better than B", None),
    ("Verdict: A is worse", None),
    ("Verdict: A is not better", None),
    ("Verdict: not A", None),
    ("Verdict: neither", None),
    ("Verdict: both", None),
    ("Verdict:", None),
    ("Verdict: A. But no: the verdict is unclear", None),
    ("[[A>>B]]", None),
    ("[[B>A]]", None),
    ("[[A]] [[neither]]", None),
    ("It is not A", None),
    ("B is better than A", None),
    ("I cannot decide.", None),
    ("I can't say that A is better", None),
]
JAPANESE_MARKS = [
    ("最終判定：A（応答Aの方がBより優れている）", "A"),
    ("判定：A。BはAより短い。", "A"),
    ("判定：同等", "同等"),
    ("判定：同等です。AとBは同じ。", "同等"),
    ("**判定**：Ｂ", "B"),
    ("判定は「A」です", "A"),
    ("最終判定は、Bです", "B"),
    ("判定：応答B", "B"),
    ("判定：回答Aの方が良い", "A"),
    ("判定: A\n理由: Bは誤り", "A"),
    ("結論：B", "B"),
    ("応答Bは短い。【A】", "A"),
    ("判定：A\n【B】は短い", "A"),
    ("勝者：A。Bは短い", "A"),
    ("【A】ではない", None),
    ("応答Aの方が良い。", "A"),
    ("Bが優れています。", "B"),
    ("答えはAです。", "A"),
    ("応答Bより優れている。", None),
    ("Aは不正確です。", None),
    ("Aには間違いが多い。", None),
    ("判定：A、B", None),
    ("判定：Aの負け", None),
    ("判定：Bではなく、A", None),
    ("判定：AとBは同等", None),
    ("判定：Aの方がBより優れている", None),
    ("判定：Aは劣る", None),
    ("判定：Aではない", None),
    ("判定：引き分け", None),
    ("判定：", None),
    ("Aは良いがBも良い", None),
]


@pytest.mark.parametrize(
    ("text", "label", "labels"),
    [*((*case, LABELS) for case in BEHIND_A_MARK), *((*case, JAPANESE) for case in JAPANESE_MARKS)],
)
def test_what_follows_a_verdict_does_not_turn_it(text: str, label: str | None, labels: list[str]) -> None:
    assert verdict(text, labels) == (None if label is None else labels.index(label))


def test_answers_that_were_read_wrongly_once(shared: Path) -> None:
    lines = (shared.parent / "cases" / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) >= 18
    for case in map(json.loads, lines):
        labels = JAPANESE if "判定" in case["answer"] else LABELS
        wanted = None if case["verdict"].startswith("none") else labels.index(case["verdict"])
        assert verdict(case["answer"], labels) == wanted, case


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("<think>A, surely A.</think>\n\nVerdict: B", "B"),
        ("surely A.</think>Verdict: B", "B"),  # where the prompt has opened it
        ("<think>A</think>B<think>no: A</think>tie", "tie"),
        ("<think>A</think>", None),
        ("<think>A</think>Neither.", None),
        ("<think>It must be A", None),
        ("<think>A</think>B<think>or A", None),
    ],
)
def test_reasoning_is_no_verdict(text: str, label: str | None) -> None:
    assert verdict(text, LABELS) == (None if label is None else LABELS.index(label))


@pytest.mark.parametrize(
    ("labels", "text", "label"),
    [
        (["A", "B", "A or B"], "it is A or B", "A or B"),
        (["A", "B", "A or B"], "A or B? B", "B"),
        (["good", "not good", "so so"], "not good", "not good"),
        (["good", "not good", "so so"], "not good? No: good", "good"),
        (["A", "A+", "A++"], "grade A+.", "A+"),
        (["A", "A+", "A++"], "grade A++", "A++"),
        (["A", "A+", "A++"], "Verdict: A++", "A++"),
        (["1", "11", "111"], "11", "11"),
        ([".", "*", "tie"], "it is *", "*"),  # no patterns
    ],
)
def test_labels_that_contain_each_other(labels: list[str], text: str, label: str) -> None:
    assert verdict(text, labels) == labels.index(label)
    assert verdict(text, labels[::-1]) == labels[::-1].index(label)
