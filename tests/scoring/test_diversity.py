import math
import random

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU

from lib.errors import InputError
from lib.scoring.diversity import FIGURES, VOCABULARY, WordTokenizer, choose_tokenizer, diversity


def by_sacrebleu(samples, tokenizer):
    bleu = BLEU(tokenize=tokenizer.value, effective_order=True)
    scores = [bleu.sentence_score(text, samples[:i] + samples[i + 1 :]).score for i, text in enumerate(samples)]
    return sum(scores) / len(scores) / 100


def lecture_rows(shared, n, rng):
    """Rows of samples that overlap by chance, some the same, some empty."""
    text = (shared / "lecture/LLM2024_day4.txt").read_text()
    rows = []
    for _ in range(n):
        at = rng.randrange(len(text) - 400)
        rows.append(
            [text[at + rng.randrange(60) :][: rng.choice([0, 1, 3, 40, 120])] for _ in range(rng.choice([2, 3, 8]))]
        )
    return rows


@pytest.mark.parametrize("tokenizer", WordTokenizer)
def test_self_bleu_is_sacrebleus_of_each_sample_against_the_others(shared, tokenizer):
    rows = lecture_rows(shared, 60, random.Random(0))
    rows += [
        ["The cat sat on the mat.", "The cat sat on a mat!", "It's the dog, the dog, the dog"],
        ["a", "a b"],
        ["", ""],
    ]
    measured = diversity(rows, tokenizer)
    np.testing.assert_allclose(measured.self_bleu, [by_sacrebleu(row, tokenizer) for row in rows], atol=1e-12)
    assert measured.means["self_bleu"] == pytest.approx(measured.self_bleu.mean())
    assert measured.self_bleu.std() > 0.05


def test_self_bleu_worked_by_hand():
    # "a b c d" against "a b c e" and back: precisions 3/4, 2/3, 1/2 and 0 of 1, which smoothing makes 1/2; no brevity.
    one = (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** (1 / 4)
    # "a b" against "a b c": both orders match, but it is shorter: e^(1 - 3/2). The other way 2/3, 1/2, then 1/2 of 1.
    short, long = math.exp(1 - 3 / 2), (2 / 3 * 1 / 2 * 1 / 2) ** (1 / 3)
    measured = diversity([["a b c d", "a b c e"], ["a b", "a b c"]], WordTokenizer.words)
    np.testing.assert_allclose(measured.self_bleu, [one, (short + long) / 2])


def test_distinct_and_duplicates_worked_by_hand():
    rows = [["a b a", "a b", "a b"], ["x", "y"], ["same words here", "same words here"], ["alone alone"]]
    measured = diversity(rows, WordTokenizer.words)
    np.testing.assert_allclose(measured.distinct_1, [2 / 7, 1, 3 / 6, 1 / 2])
    np.testing.assert_allclose(measured.distinct_2, [2 / 4, np.nan, 2 / 4, 1])
    np.testing.assert_allclose(measured.duplicates, [1 / 3, 0, 1 / 2, 0])
    assert measured.self_bleu[2] == pytest.approx(1)
    assert np.isnan(measured.self_bleu[3])
    assert measured.samples.tolist() == [3, 2, 2, 1]
    assert measured.means["distinct_2"] == pytest.approx(2 / 3)


def test_expectation_adjusted_distinct_is_the_papers_formula() -> None:
    measured = diversity([["a b a", "a b"], ["x"], [""]], WordTokenizer.words)
    expected = [v * (1 - ((v - 1) / v) ** c) for v, c in ((VOCABULARY, 5), (VOCABULARY**2, 3))]
    assert measured.ead_1[0] == pytest.approx(2 / expected[0])
    assert measured.ead_2[0] == pytest.approx(2 / expected[1])
    assert measured.ead_1[1] == 1
    assert np.isnan([measured.ead_2[1], measured.ead_1[2]]).all()
    rng = np.random.default_rng(0)
    drawn = [" ".join(map(str, rng.integers(0, VOCABULARY, words))) for words in (1_000, 100_000)]
    short, long = diversity([[text] for text in drawn], WordTokenizer.words).ead_1
    assert (short, long) == pytest.approx((1, 1), abs=0.01)


def test_rarefied_distinct_is_the_mean_of_draws_and_the_same_for_texts_of_any_length() -> None:
    rng = np.random.default_rng(1)
    words = 1 / np.arange(1, 3_001)
    texts = [" ".join(map(str, rng.choice(3_000, size, p=words / words.sum()))) for size in (200, 20_000)]
    measured = diversity([[text] for text in texts], WordTokenizer.words)
    drawn = [len(set(rng.choice(texts[0].split(), 50, replace=False))) / 50 for _ in range(4_000)]
    assert measured.rarefied_1[0] == pytest.approx(np.mean(drawn), abs=0.005)
    assert measured.rarefied_1[0] == pytest.approx(measured.rarefied_1[1], abs=0.03)
    assert measured.distinct_1[0] > 3 * measured.distinct_1[1]
    few = diversity([["a b c"], ["a " * 50]], WordTokenizer.words)
    assert np.isnan(few.rarefied_1[0])
    assert few.rarefied_1[1] == pytest.approx(1 / 50)


def test_languages_without_blanks_have_a_self_bleu() -> None:
    for samples in (["ผมชอบกินข้าวผัด", "ผมชอบกินข้าวต้ม"], ["ខ្ញុំចូលចិត្តបាយ", "ខ្ញុំចូលចិត្តទឹក"], ["我喜欢吃米饭", "我喜欢吃面条"]):
        assert by_sacrebleu(samples, WordTokenizer.words) < 0.01
        assert diversity([samples], choose_tokenizer(samples)).self_bleu[0] > 0.4


def test_n_grams_do_not_cross_from_one_sample_to_the_next():
    measured = diversity([["a b", "c d", "b c"]], WordTokenizer.words)
    assert measured.distinct_2[0] == 1
    assert measured.self_bleu[0] < 0.8


def test_samples_that_failed_are_left_out():
    whole, with_gaps = (
        diversity([["a b", "a c"]], WordTokenizer.words),
        diversity([[None, "a b", None, "a c"]], WordTokenizer.words),
    )
    for name in (*FIGURES, "samples"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(with_gaps, name))


def test_what_cannot_be_told_is_nan_and_not_in_the_means():
    measured = diversity([[], [None], [""], ["a a", "a a"]], WordTokenizer.words)
    assert np.isnan(measured.self_bleu).tolist() == [True, True, True, False]
    assert np.isnan(measured.distinct_1).tolist() == [True, True, True, False]
    assert measured.means["distinct_1"] == 1 / 4
    assert diversity([[]], WordTokenizer.words).means == dict.fromkeys(FIGURES)
    with pytest.raises(InputError, match="no rows"):
        diversity([], WordTokenizer.words)


def test_japanese_is_not_split_at_blanks():
    samples = ["今日は良い天気です", "今日は良い天気でした"]
    assert by_sacrebleu(samples, WordTokenizer.words) == 0  # one long "word" each
    assert diversity([samples], WordTokenizer.char).self_bleu[0] > 0.7
    assert diversity([samples], WordTokenizer.ja_mecab).self_bleu[0] > 0.5
    assert diversity([["ああ い", "ああい"]], WordTokenizer.char).distinct_1[0] == 2 / 6  # a blank is no token


@pytest.mark.parametrize(
    ("texts", "tokenizer"),
    [
        (["The cat sat.", "東京 is the capital of Japan"], WordTokenizer.words),
        (["LLMの推論時スケーリング (inference-time scaling) とは"], WordTokenizer.ja_mecab),
        (["ﾊﾝｶｸ ｶﾅ"], WordTokenizer.ja_mecab),
        (["今天天气很好"], WordTokenizer.char),
        (["สวัสดีครับ ยินดีที่ได้รู้จัก"], WordTokenizer.char),
        (["ខ្ញុំសូមជម្រាបសួរ"], WordTokenizer.char),
        (["ສະບາຍດີ"], WordTokenizer.char),
        (["မင်္ဂလာပါ"], WordTokenizer.char),
        (["བཀྲ་ཤིས་བདེ་ལེགས།"], WordTokenizer.char),
        (["𠮷野家𠮷野家"], WordTokenizer.char),
        (["नमस्ते दुनिया", "مرحبا بالعالم", "Xin chào"], WordTokenizer.words),
        (["한국어는 띄어 씁니다"], WordTokenizer.words),
        ([], WordTokenizer.words),
        (["", " \n"], WordTokenizer.words),
    ],
)
def test_the_tokenizer_follows_the_script(texts, tokenizer):
    assert choose_tokenizer(texts) is tokenizer
