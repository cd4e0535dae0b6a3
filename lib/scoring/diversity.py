"""How much the samples of one row differ from each other: self-BLEU, distinct n-grams, duplicates."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from lib.errors import InputError
from lib.scoring.probabilities import FloatArray, IntArray

_ORDERS = 4  # of BLEU
_KANA = re.compile("[\u3040-\u30ff\uff66-\uff9f]")
# Chinese characters and kana, Thai, Lao, Tibetan, Burmese, Khmer, the other Tai scripts, Chinese of the second plane.
_UNSPACED = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\uff66-\uff9f\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df"
    "\u1a20-\u1aaf\U00020000-\U0003ffff]"
)

VOCABULARY = 30_522
"""Tokens that `ead_1` and `ead_2` suppose, the same for all runs, so that these can be compared: BERT's, as a size."""

DRAWN = 50
"""N-grams of which `rarefied_1` and `rarefied_2` tell how many are different."""

FIGURES = (
    "self_bleu", "distinct_1", "distinct_2", "ead_1", "ead_2", "rarefied_1", "rarefied_2", "duplicates",
)  # fmt: skip
"""What is measured: the fields of `Diversity` with a value for each row."""


class WordTokenizer(Enum):
    """What a token is. Values are sacrebleu's names.

    words: words and punctuation, for languages that put blanks between words. char: characters, blanks left out.
    ja_mecab: Japanese morphemes, by MeCab with IPADIC.
    """

    words = "13a"
    char = "char"
    ja_mecab = "ja-mecab"


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """Of n rows, each [n]; NaN where a row has too little text to tell.

    self_bleu: mean BLEU of each sample against the row's others, in [0, 1]; 1 is all the same. At least two samples.
    distinct_1, distinct_2: different n-grams / n-grams of all samples together; 1 is no repetition. The longer the
    texts, the lower it is, however they are written.
    ead_1, ead_2: different n-grams / those to be expected if as many were drawn from all that VOCABULARY allows
    (expectation-adjusted distinct). Of n-grams that are few against that, it is near distinct-n.
    rarefied_1, rarefied_2: the share of different ones to be expected among DRAWN of the row's n-grams; the same for
    texts of any length that are written alike. NaN where there are fewer.
    duplicates: share of the samples that are exactly like an earlier one, from 0 to (samples - 1) / samples.
    samples: how many samples a row has, without those that are None.
    """

    tokenizer: WordTokenizer
    samples: IntArray
    self_bleu: FloatArray
    distinct_1: FloatArray
    distinct_2: FloatArray
    ead_1: FloatArray
    ead_2: FloatArray
    rarefied_1: FloatArray
    rarefied_2: FloatArray
    duplicates: FloatArray

    @property
    def means(self) -> dict[str, float | None]:
        """Name -> mean over the rows that have a value; None where none has."""
        values = {name: getattr(self, name) for name in FIGURES}
        known = {name: column[~np.isnan(column)] for name, column in values.items()}
        return {name: float(column.mean()) if len(column) else None for name, column in known.items()}


def choose_tokenizer(texts: Iterable[str]) -> WordTokenizer:
    """The tokenizer that suits texts: `words`, unless a fifth or more is of a script without blanks between words.

    Of those, `ja_mecab` where there is any kana, else `char` (Chinese, Thai, Lao, Khmer, Burmese, Tibetan). A few
    hundred texts tell.
    """
    text = "".join(texts)
    letters = len(text) - sum(map(text.count, " \n\t"))
    if len(_UNSPACED.findall(text)) * 5 < max(letters, 1):
        return WordTokenizer.words
    return WordTokenizer.ja_mecab if _KANA.search(text) else WordTokenizer.char


def diversity(rows: Iterable[Sequence[str | None]], tokenizer: WordTokenizer) -> Diversity:
    """Measure the samples of each row; None is a sample that failed, and is left out.

    Self-BLEU is Zhu et al.'s (Texygen, 2018) with sacrebleu's sentence BLEU: up to 4-grams, exponential smoothing,
    orders that a sample is too short for left out. Distinct-n is Li et al.'s (2016), here per n-gram. The
    expectation-adjusted one is Liu et al.'s (Rethinking and refining the distinct metric, ACL 2022). Rarefaction is
    Hurlbert's (Ecology 1971); of words, with 42 drawn, it is HD-D (McCarthy and Jarvis 2010).
    Raises InputError where there are no rows.
    """
    tokenize = _tokenize(tokenizer)
    measured = []
    for samples in rows:
        texts = [text for text in samples if text is not None]
        counts = _ngram_counts([tokenize(text) for text in texts])
        duplicates = 1 - len(set(texts)) / len(texts) if texts else np.nan
        measured.append(
            (
                len(texts),
                _self_bleu(counts),
                *_by_order(_distinct, counts),
                *_by_order(_adjusted, counts),
                *_by_order(_rarefied, counts),
                duplicates,
            )
        )
    if not measured:
        raise InputError("no rows: diversity is measured on the samples of at least one row")
    samples, *columns = np.array(measured, dtype=np.float64).T
    return Diversity(
        tokenizer=tokenizer,
        samples=samples.astype(np.int64),
        **dict(zip(FIGURES, columns, strict=True)),
    )


def _tokenize(tokenizer: WordTokenizer) -> Callable[[str], list[str]]:
    from sacrebleu.metrics.bleu import BLEU

    tokenize = BLEU(tokenize=tokenizer.value).tokenizer
    return lambda text: tokenize(text.rstrip()).split()  # as BLEU itself does


def _ngram_counts(samples: list[list[str]]) -> list[IntArray]:
    """How often each sample has each n-gram: for n = 1 to 4, [samples, n-grams of the row]."""
    vocabulary: dict[str, int] = {}
    token = np.array([vocabulary.setdefault(t, len(vocabulary)) for tokens in samples for t in tokens], dtype=np.int64)
    lengths = np.array([len(tokens) for tokens in samples], dtype=np.int64)
    sample = np.repeat(np.arange(len(samples)), lengths)
    left = np.repeat(lengths.cumsum(), lengths) - np.arange(len(token))  # tokens from here to the sample's end
    ngram, start = token, np.arange(len(token))
    counts = []
    for n in range(1, _ORDERS + 1):
        if n > 1:  # an n-gram is an (n-1)-gram and one more token
            longer = left[start] >= n
            ngram, start = ngram[longer], start[longer]
            ngram = np.unique(ngram * len(vocabulary) + token[start + n - 1], return_inverse=True)[1]
        width = int(ngram.max()) + 1 if len(ngram) else 0
        counts.append(
            np.bincount(sample[start] * width + ngram, minlength=len(samples) * width).reshape(len(samples), width)
        )
    return counts


def _self_bleu(counts: list[IntArray]) -> float:
    """Mean BLEU of each sample with all others as its references; NaN with fewer than two samples."""
    from sacrebleu.metrics.bleu import BLEU

    n = len(counts[0])
    if n < 2:
        return np.nan
    totals = np.stack([order.sum(axis=1) for order in counts], axis=1)
    matched = np.zeros_like(totals)
    for order, count in enumerate(counts):
        second, first = np.partition(count, (n - 2, n - 1), axis=0)[-2:]
        others = np.where(count == first, second, first)  # the most that one of the others has
        matched[:, order] = np.minimum(count, others).sum(axis=1)
    lengths = totals[:, 0].tolist()
    total = 0.0
    for i, (correct, possible) in enumerate(zip(matched.tolist(), totals.tolist(), strict=True)):
        closest = min(lengths[:i] + lengths[i + 1 :], key=lambda length: (abs(length - lengths[i]), length))
        bleu = BLEU.compute_bleu(correct, possible, lengths[i], closest, smooth_method="exp", effective_order=True)
        total += bleu.score / 100
    return total / n


def _by_order(figure: Callable[[IntArray, int], float], counts: list[IntArray]) -> list[float]:
    """A figure of words and of pairs of them, from how often all samples together have each."""
    return [figure(counts[n - 1].sum(axis=0), n) for n in (1, 2)]


def _distinct(often: IntArray, n: int) -> float:
    """Different n-grams / n-grams; NaN without any."""
    return len(often) / float(often.sum()) if len(often) else np.nan


def _adjusted(often: IntArray, n: int) -> float:
    """Different n-grams / V (1 - ((V - 1) / V)^C), V being all possible ones and C those that there are."""
    if not len(often):
        return np.nan
    possible = VOCABULARY**n
    return float(len(often) / (-possible * math.expm1(float(often.sum()) * math.log1p(-1 / possible))))


def _rarefied(often: IntArray, n: int) -> float:
    """Expected different n-grams among DRAWN of them, without putting back, / DRAWN."""
    total = int(often.sum())
    if total < DRAWN:
        return np.nan
    drawn = np.arange(DRAWN)
    absent = np.clip((total - often[:, None] - drawn) / (total - drawn), 0, 1).prod(axis=1)
    return float((1 - absent).sum() / DRAWN)
