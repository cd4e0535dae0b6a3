import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lib.errors import InputError
from lib.report.battles.comparison import MOST_DIFFERING, compare
from lib.report.battles.comparison_page import comparison_lines, render_comparisons
from lib.report.battles.paired_rows import Paired
from lib.scoring.inference import estimates
from lib.scoring.inference.estimates import row_keys
from lib.scoring.metrics import log_loss

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 300).astype(np.int8)
GUESS = RNG.dirichlet([9, 9, 9], 300)
GOOD = 0.7 * GUESS + 0.3 * np.eye(3)[LABELS]


def block(first, second, labels=LABELS, questions=None, start=0):
    n = len(first)
    return Paired(
        names=pa.array([f"row {start + row}" for row in range(n)]),
        first=first,
        second=second,
        labels=labels,
        questions=row_keys(start, n) if questions is None else questions,
        by_question=questions is not None,
    )


def test_the_better_one_is_named_with_difference_interval_and_p():
    found = compare([block(GUESS, GOOD)], "runs/guess", "runs/good")
    content = found.content("log_loss")
    assert content["difference"] == pytest.approx(log_loss(GUESS, LABELS) - log_loss(GOOD, LABELS))
    assert 0 < content["low"] < content["difference"] < content["high"]
    assert content["p"] < 0.001
    assert list(content)[:6] == ["runs", "metric", "difference", "low", "high", "p"]
    assert found.content("accuracy")["difference"] < 0
    text = "\n".join(comparison_lines([found], "log_loss"))
    assert "runs/good is better in log loss: +0." in text
    assert "runs/good is better in accuracy: -0." in "\n".join(comparison_lines([found], "accuracy"))
    assert "p: by 10,000 drawn exchanges of the two runs' answers, one row at a time." in text


def test_a_difference_that_may_be_none_is_not_called_one():
    other = RNG.permutation(GUESS)
    found = compare([block(GUESS, other)], "one", "other")
    assert found.scores["log_loss"].difference.holds(0)
    text = "\n".join(comparison_lines([found], "log_loss"))
    assert "No difference in log loss shown: " in text
    assert "better" not in text


def test_without_labels_their_agreement_is_told():
    found = compare([block(GUESS, GOOD, np.full(300, -1, np.int8))], "one", "other")
    content = found.content("log_loss")
    assert [content[key] for key in ("difference", "low", "high", "p", "measured")] == [None, None, None, None, 0]
    assert content["agreement"]["value"] == pytest.approx((GUESS.argmax(1) == GOOD.argmax(1)).mean())
    assert content["agreement"]["low"] < content["agreement"]["value"] < content["agreement"]["high"]
    assert "Without labels nothing tells which is better." in comparison_lines([found], "log_loss")


def test_the_rows_on_which_they_differ_most_come_from_all_blocks():
    parts = [
        block(GUESS[start : start + 50], GOOD[start : start + 50], LABELS[start : start + 50], start=start)
        for start in range(0, 300, 50)
    ]
    parts[3].first[4] = np.nan
    distance = np.abs(GUESS - GOOD).sum(axis=1) / 2
    distance[154] = 0
    found = compare(parts, "one", "other")
    assert [row.name for row in found.differ_most] == [f"row {row}" for row in np.argsort(-distance)[:MOST_DIFFERING]]
    assert found.differ_most[0].distance == pytest.approx(distance.max())
    assert found.rows == found.measured == 299
    assert compare([block(GUESS, GUESS)], "one", "same").differ_most == ()


def test_hard_verdicts_are_compared_without_log_loss():
    hard = np.eye(3)[GOOD.argmax(axis=1)]
    found = compare([block(hard, GUESS)], "hard", "soft")
    assert set(found.scores) == {"accuracy", "brier", "kappa"}
    assert "There is no log loss of both, so no difference in it." in comparison_lines([found], "log_loss")


def test_nothing_in_common_is_refused():
    with pytest.raises(InputError, match="one and other: no row is scored by both, so there is nothing to compare"):
        compare([block(np.full((2, 3), np.nan), GUESS[:2], LABELS[:2])], "one", "other")


def test_a_page_shows_every_pair_and_escapes_names():
    pair = compare([block(GUESS, GOOD, questions=np.arange(300, dtype=np.uint64) // 30)], "<one>", "other")
    html = render_comparisons([pair, pair], "log_loss", "Side by side")
    assert html.count("Where they differ most") == 2
    assert "&lt;one&gt; and other" in html
    assert "There are 2 pairs: by chance one in twenty has a p below 0.05." in html
    assert "p: by all exchanges of the two runs&#39; answers, one question at a time." in html
    json.dumps(pair.content("kappa"), allow_nan=False)


def test_texts_have_a_column_where_there_are_any() -> None:
    found = compare([block(GUESS, GOOD)], "one", "other")
    assert ">texts</th>" not in render_comparisons([found], "log_loss", "Side by side")
    rows = tuple(replace(row, texts={"prompt": f"asked {row.name}"}) for row in found.differ_most)
    html = render_comparisons([replace(found, differ_most=rows)], "log_loss", "Side by side")
    assert ">texts</th>" in html
    assert f"prompt: asked {rows[-1].name}" in html


def test_memory_is_that_of_a_few_blocks(monkeypatch):
    monkeypatch.setattr(estimates, "MOST_CLUSTERS", 500)
    many = [side.repeat(60, axis=0) for side in (GUESS, GOOD, LABELS)]

    def peak(count):
        blocks = (block(*many, start=18_000 * n) for n in range(count))
        tracemalloc.start()
        compare(blocks, "one", "other")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(8) < 1.5 * peak(2)
