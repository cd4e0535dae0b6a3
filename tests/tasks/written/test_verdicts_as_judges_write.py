"""Answers as judges write them: a label, or `-` for no verdict, and the answer, its line breaks as ⏎."""

import time

import pytest

from lib.tasks.written.verdict import verdict

ENGLISH, JAPANESE = ["A", "B", "tie"], ["A", "B", "同等"]

ARTICLES = """
-    Verdict: a draw
-    Verdict: A draw
-    Verdict: **a draw**
-    Verdict: "a toss-up"
-    Verdict: a slight preference for the second
-    Verdict: a (slight) preference for the second
-    Verdict: a slightly better answer is the second
-    Verdict: A much better response is the second one
-    Verdict: A strong win for the second response
-    Verdict: A bit of both
-    Verdict: a 50/50 split
-    Verdict: a by-product of luck
-    Verdict: A-grade work from the second
-    Verdict: the response a person would prefer
-    The winner is a close call
-    The winner is a response that cites
-    Winner: a surprise
-    Answer: a better one is the second
-    Answer: A person would prefer the second
-    {"winner": "a draw"}
-    [[a draw]]
-    A draw.
-    I prefer a shorter one.
tie  A tie.
tie  It's a tie.
tie  Verdict: it is a tie.
tie  {"verdict": "a tie"}
A    Answer: a
A    Verdict: a⏎⏎B lacks detail
A    Verdict: a; b is wrong
A    Answer: a is the better one
A    Verdict: A because B is wrong
A    Verdict: A clearly wins
A    Verdict: A by a narrow margin
A    Verdict: A with high confidence
A    Verdict: A overall.
A    Verdict: A on points
A    Verdict: A provides a more accurate answer.
A    Verdict: A Reason: it is correct
A    Verdict: A.
A    Verdict: A - clearer
A    Verdict: A — clearer
B    Verdict: B gives a correct answer
B    Verdict: B is a clear winner
B    Verdict: B, a close call
"""
TAKEN_BACK = """
-    Verdict: A, but B is stronger
-    Verdict: A, but the other one is better
-    Verdict: A, however the other is more precise
-    Verdict: A, yet B
-    Verdict: A? No, B.
-    Verdict: A?
-    Verdict: A. No, B.
-    Verdict: A. But B is stronger.
-    Verdict: A. B is better.
-    Verdict: A. Actually B.
-    Verdict: A. Hmm, B?
-    Verdict: A (no, B)
-    Verdict: A - no, B
-    Verdict: A (or B)
-    Verdict: A, or rather B
-    Verdict: A... wait, B
-    Verdict: A⏎Wait, B is the one with the right date.
-    Verdict: A. It is long. On second thought, B.
-    Verdict: A⏎(Scratch that: B)
-    Verdict: A; B
-    Verdict: A⏎B
-    Verdict: A since B is wrong, but B is shorter
-    Verdict: A, maybe
-    Verdict: A for style, B for content
-    Verdict: A, B is close behind
-    Verdict: A as well as B
-    Verdict: A is as good as B
-    Verdict: A is outperformed by the other
-    Verdict: A, not good enough
-    Verdict: A not better
-    Verdict: B 8/10, A 7/10
-    Verdict: a or b
-    Verdict: A or Tie
-    Verdict: B/tie
-    Verdict: A|B
-    Verdict: tie-breaker needed
-    Answer: B and A are the same
-    [[A]]? No, B.
-    [[A]], but B is stronger
-    [[A]] or B
-    [[A]] > [[B]]
-    [[A]], [[B]], or [[tie]]
-    \\boxed{A or B}
-    A. No, B is better.
-    A⏎However, B is stronger.
-    A⏎B is better.
-    A wins⏎B wins
A    Verdict: A, not B.
A    Verdict: A, not a tie
A    Verdict: A, rather than B
A    Verdict: A instead of B
A    Verdict: A, as B is wrong
A    Verdict: A due to the wrong date in B.
A    Verdict: A, but only slightly
A    Verdict: A, although both are good
A    Verdict: A, by far.
A    Verdict: A. In contrast, B is wordy.
A    Verdict: A⏎⏎A is right, but B is better in tone.
A    Verdict: A⏎⏎B has better formatting.
tie  Verdict: tie. Neither is better.
tie  Verdict: tie, as neither is better
tie  [[Tie]]: A and B are the same
"""
SPELLINGS = """
A    **Verdict: A** Response B is wrong.
A    **Final Verdict: Response A is better.**
B    **Final Verdict:**⏎⏎Response B is the better response because it answers directly, while Response A rambles.
A    Final Verdict: **Assistant A** wins.
A    Verdict: Assistant A's response is better.
B    Verdict: Candidate B
A    Verdict: Model-A
A    Verdict: The winner is A.
B    Verdict: The better response is B.
A    Verdict: I would go with Response A.
B    Verdict: I prefer B because it is correct
A    Verdict: Clearly A
A    Verdict: A<|im_end|>
A    Verdict: A ✅
A    ## Verdict⏎⏎**Response A**⏎⏎B has a wrong date.
A    ### Final Verdict⏎Response A is better because B is wrong.
A    ## Verdict: A⏎⏎## Reasons⏎B is wrong.
B    Winner: **Response B**⏎⏎Reason: A is wrong.
B    The winner is clearly B.
A    {"verdict": "A", "reason": "B is wrong"}
B    {"reason": "A is short", "verdict": "b"}
A    {'verdict': 'A'}
B    ```json⏎{⏎  "verdict": "B",⏎  "confidence": 0.9⏎}⏎```
tie  {"final_verdict": "tie"}
A    {"verdict":"Response A"}
-    {"verdict": null}
-    {"verdict": ["A", "B"]}
A    Verdict: \\boxed{A}
B    $\\boxed{B}$
A    \\[\\boxed{A}\\]
A    \\boxed{\\text{A}}
B    The final answer is $\\boxed{\\text{Response B}}$.
A    (A)
A    **A**
A    [A]
A    Verdict: Ａ
A    [[Ａ]]
B    ［［Ｂ］］
B    I must write [[A]], [[B]] or [[tie]]. Mine: [[B]]
A    "[[A]]" if assistant A is better, "[[B]]" if assistant B is better. My choice is "[[A]]"
A    [[A]]. B is short.
A    I think that Response A is better.
B    After comparing both, I find that Response B is better.
B    Therefore, the better response is **B**.
B    I choose B because A is wrong.
A    Both are good, but I prefer A.
A    Conclusion: A
-    <answer>A</answer>
-    The loser is A.
-    The shorter one is B.
-    Correct answer: B. The second says so.
-    The weaker answer is A.
-    If style matters, the better one is B.
-    A is better in style. However, B is better in tone.
-    Style: A⏎Content: B
A    Accuracy: A⏎Clarity: B⏎Overall: A
-    1. A⏎2. B
-    **Response A:**⏎- correct⏎⏎**Response B:**⏎- short
A    **Response A:**⏎- correct⏎⏎**Response B:**⏎- short⏎⏎Overall, A is better.
-    Response A:⏎- correct⏎- long
"""
JAPANESE_SPELLINGS = """
-    判定：Aより、Bが良い
-    判定：A、ではなくB
-    判定：A…ではなくB
-    判定：Aよりもう一方が良い
-    判定：Aの方よりもう一方が良い
-    判定：Aと比べて、もう一方が良い
-    判定：A？いや、B
-    判定：A。いや、Bです。
-    判定：A。しかしBの方が良い。
-    判定：A⏎訂正：B
-    判定：A。やはりB。
-    判定：A。Bの方が良い。
-    判定：Aが良いと思いますが、Bの方が正確です
-    判定：Aかもしれない
-    判定：A・B
-    判定：AまたはB
-    判定：AもBも同じ
-    判定：どちらも同等
-    判定：どちらとも言えない
-    判定：引き分け
-    勝者：引き分け
-    短いのはAです。
-    回答Aの方が長い。
-    Aを選びません。
-    【回答A】は詳しいが、【回答B】は短い。
-    【回答A】⏎詳しい⏎【回答B】⏎短い
-    【A】と【B】は同等
A    判定：回答Aがより優れている
A    判定：Aの方が優れています。
A    判定：A です。
A    判定：A の方が良い
A    判定：Ａ
A    判定：A（Bは誤り）
A    判定：A 理由：Bは誤り
A    判定：A、理由はBより詳しいから
A    判定：Aです。理由はBに誤りがあるためです。
A    判定：Aが良い。ただしBも良い点がある。
A    判定：A、わずかに
A    判定：A⏎⏎Bは短いが分かりやすい。
A    判定：【回答A】
B    判定：『B』
B    判定：アシスタントB
A    判定：選択肢A
A    【判定】A
B    【最終判定】⏎回答B⏎【理由】⏎Aは短い
A    ## 判定⏎**A**⏎⏎理由：Bは誤り
B    ### 最終判定⏎B
B    最終的な判定は**B**です。
A    {"判定": "A", "理由": "Bは誤り"}
同等   判定：「同等」
同等   最終判定は「同等」です。
同等   判定：同等（AもBも正しい）
同等   同等です。
B    結論として、Bの方が優れています。
A    よって、回答Aを選びます。
B    以上より、Bの方が良いと判断します。
B    より良い回答は「B」です。
B    より良い回答：B
A    【A】⏎理由：Bは短い
A    【A】の方が良い。
B    【B】です。
B    勝者：回答Ｂ
A    回答A
A    「A」
A    （Ａ）
"""


def _cases() -> list[tuple[str, str, list[str]]]:
    tables = [(ARTICLES, ENGLISH), (TAKEN_BACK, ENGLISH), (SPELLINGS, ENGLISH), (JAPANESE_SPELLINGS, JAPANESE)]
    lines = [(line.split(maxsplit=1), labels) for table, labels in tables for line in table.strip().splitlines()]
    return [(answer.replace("⏎", "\n"), label, labels) for (label, answer), labels in lines]


@pytest.mark.parametrize(("answer", "label", "labels"), _cases())
def test_the_verdict_is_what_the_judge_meant_or_none(answer: str, label: str, labels: list[str]) -> None:
    assert verdict(answer, labels) == (None if label == "-" else labels.index(label))


@pytest.mark.parametrize("begun", ["", "Verdict: A ", "Verdict: "])
def test_answers_that_go_round_in_circles_take_no_longer_than_they_are(begun: str) -> None:
    start = time.process_time()
    for text in ("a", "it is ", "[[", "\n", "\t", "【", "は", "*", ", ", "no? ", "A (", "A is, ", "better is "):
        assert verdict(begun + text * (50_000 // len(text)), ENGLISH) in (None, 0)
    assert time.process_time() - start < 5, "one that takes the square of its length takes more"
