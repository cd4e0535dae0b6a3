"""What judges write when they grade, and the grade that a reader would take: a table of cases."""

import time

import pytest

from lib.errors import ConfigError
from lib.tasks.grading.grade_words import written_grade
from lib.tasks.grading.scale import Scale, scale_of
from lib.tasks.prompts.prompt import PromptConfig

TEN = Scale(tuple(map(float, range(1, 11))), decimals=True)
FIVE = Scale((1.0, 2.0, 3.0, 4.0, 5.0))

OF_TEN = [  # MT-Bench's single grading, and what judges make of it
    ("The response is accurate and concise.\n\nRating: [[8]]", 8),
    ("Rating: [[10]]", 10),
    ("Rating: [[1]]", 1),
    ("Rating: [[7.5]]", 7.5),
    ("**Rating: [[9]]**", 9),
    ("My rating is [[ 6 ]].", 6),
    ("[[8/10]]", 8),
    ("[[Rating: 8]]", 8),
    ("Rating: [[8", 8),
    ("Rating: [[8]", 8),
    ("First I thought [[5]], but on reflection it is [[7]].", 7),
    ('The format is "[[rating]]". Rating: [[4]]', 4),
    ('Rating: [[4]] (as "[[rating]]")', 4),
    ("It does not deserve [[10]]. Rating: [[6]]", 6),
    ("Rating: [[6]], not [[10]]", 6),
    ("I was asked for 2 tips and there are 3. [[9]]", 9),
    ("\\boxed{7}", 7),
    ("\\boxed{\\text{7}}", 7),
    ("<think>maybe [[3]]</think>Rating: [[8]]", 8),
    ("Rating: 8", 8),
    ("Rating: 8/10", 8),
    ("**Rating:** 8/10", 8),
    ("Final score (1-10): 7", 7),
    ("**Overall score:** **7.5**/10", 7.5),
    ("Score out of 10: 6", 6),
    ("Score: 7 out of 10", 7),
    ("Score 7", 7),
    ('{"explanation": "fine", "score": 7}', 7),
    ("I would rate this response a 7.", 7),
    ("I'd give it an 8 out of 10.", 8),
    ("I rate the answer as 3, since it is wrong.", 3),
    ("It is good: 7/10", 7),
    ("Accuracy: 7/10\nOverall: 8/10", 8),
    ("A solid 8 out of 10.", 8),
    ("10 out of 10", 10),
    ("8", 8),
    ("**8**", 8),
    ("8.", 8),
    ("8\n\nThe answer is right and short.", 8),
    ("The answer is right and short.\n\n8", 8),
    ("Rating: [[11]]", None),
    ("Rating: [[0]]", None),
    ("Rating: [[-3]]", None),
    ("Rating: [[7-8]]", None),
    ("Rating: [[7 or 8]]", None),
    ("Rating: 7-8", None),
    ("Rating: 7–8/10", None),
    ("It is a 7-8/10", None),
    ("Rating: 85%", None),
    ("Rating: 80/100", None),
    ("Rating: [[4/5]]", None),
    ("Rating: [[N/A]]", None),
    ("Rating: N/A", None),
    ("Rating: [[5]] is the form; mine is [[N/A]]", None),
    ("Rating: [[7,5]]", None),
    ("I'm sorry, I can't rate this answer.", None),
    ("The 7th sentence is wrong; 3 of the 5 facts are right.", None),
    ("In 2023 there were 8 planets.", None),
    ("", None),
    ("<think>Rating: [[8]]", None),
]

OF_FIVE = [  # Prometheus, and the Japanese graders
    ("Feedback: the response follows the rubric. [RESULT] 4", 4),
    ("(4) is near, a score of 2 would be harsh. [RESULT] 3", 3),
    ("Feedback: good. [RESULT] (5)", 5),
    ("Feedback: good. [RESULT]: **5**", 5),
    ("Feedback: good.\n[RESULT]\n2", 2),
    ("So the overall score is 3. [RESULT] 3/5", 3),
    ("So the overall score is 3.", 3),
    ("[RESULT] 4.0", 4),
    ("評価：4", 4),
    ("評価: 4点", 4),
    ("【評価】4", 4),
    ("[[4]]", 4),
    ("採点結果：[[5]]", 5),
    ("評価：[[整数]]の形で書きます。評価：[[3]]", 3),
    ("評価：[[3]](「[[整数]]」の形)", 3),
    ("スコアは3です。", 3),
    ("スコア：３点", 3),
    ("点数: ５", 5),
    ("5点満点中4点です。", 4),
    ("評価は5段階で4です。", 4),
    ("5段階評価で3点とします。", 3),
    ("内容は正しいが不足がある。よって4点。", 4),
    ("正確さは3点、総合では4点です。", 4),
    ("4", 4),
    ("４点", 4),
    ("評価：4/5", 4),
    ("評価：4.5", None),
    ("[RESULT] 4.5", None),
    ("[RESULT] 6", None),
    ("[RESULT] 0", None),
    ("[RESULT] three", None),
    ("評価：4〜5", None),
    ("評価：3または4", None),
    ("100点満点中80点です。", None),
    ("10点満点中4点です。", None),
    ("この回答は5つの例を挙げています。", None),
    ("申し訳ありませんが、評価できません。", None),
    ("良い回答です。", None),
]


@pytest.mark.parametrize(("text", "wanted"), OF_TEN)
def test_a_grade_from_one_to_ten_is_read(text: str, wanted: float | None) -> None:
    assert written_grade(text, TEN) == wanted


@pytest.mark.parametrize(("text", "wanted"), OF_FIVE)
def test_a_whole_grade_from_one_to_five_is_read(text: str, wanted: float | None) -> None:
    assert written_grade(text, FIVE) == wanted


@pytest.mark.parametrize("piece", ["*", " ", "\n", "7", "score", "score *", "[[", "点", "- ", "7-", "7/"])
def test_long_answers_are_read_in_time(piece: str) -> None:
    start = time.monotonic()
    written_grade("Score: " + piece * 20_000, TEN)
    assert time.monotonic() - start < 5


def test_the_scale_is_that_of_the_labels() -> None:
    assert scale_of(PromptConfig(template="", labels=["1]]", "2]]", "10]]"])).grades == (1, 2, 10)
    assert scale_of(PromptConfig(template="", labels=["-1", "0", "1.5"])).grades == (-1, 0, 1.5)
    assert str(scale_of(PromptConfig(template="", labels=["1", "5"]))) == "1 to 5"


@pytest.mark.parametrize("labels", [[], ["1"], ["A", "B"], ["2", "1"], ["1", "1"], ["1", "1.0.2"], ["good 1", "2"]])
def test_labels_that_are_no_grades_in_order_are_refused(labels: list[str]) -> None:
    with pytest.raises(ConfigError, match="must be the grades, two or more, each beginning with its number"):
        scale_of(PromptConfig(template="", labels=labels))
