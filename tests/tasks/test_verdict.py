import pytest

from lib.tasks.verdict import verdict

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
        # Named last, whatever was meant: that is the rule, and why prompts ask for a last line.
        ("B is better than A", "A"),
        # None is named.
        ("", None),
        ("Both have merits.", None),
        ("Alpha", None),
        ("BA", None),
        ("A1 or 2B", None),
        ("They are tied, and tie2 is necktie", None),
        ("a, b, Tie, TIE", None),
        ("Ａ１", None),
    ],
)
def test_the_last_label_counts(text: str, label: str | None) -> None:
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
        (["A", "A+", "A++"], "A++ and A", "A"),
        (["1", "11", "111"], "11", "11"),
        ([".", "*", "tie"], "a *", "*"),  # no patterns
    ],
)
def test_labels_that_contain_each_other(labels: list[str], text: str, label: str) -> None:
    assert verdict(text, labels) == labels.index(label)
    assert verdict(text, labels[::-1]) == labels[::-1].index(label)
