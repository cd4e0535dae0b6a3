"""How much the samples of one row differ from each other: self-BLEU, distinct n-grams, duplicates."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from lib.errors import InputError
from lib.scoring.probabilities import FloatArray, IntArray

_ORDERS = 4  # of BLEU
_KANA = re.compile("[\u3040-\u30ff\uff66-\uff9f]")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uff66-\uff9f]")


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
    distinct_1, distinct_2: different n-grams / n-grams of all samples together; 1 is no repetition.
    duplicates: share of the samples that are exactly like an earlier one, from 0 to (samples - 1) / samples.
    samples: how many samples a row has, without those that are None.
    """

    tokenizer: WordTokenizer
    samples: IntArray
    self_bleu: FloatArray
    distinct_1: FloatArray
    distinct_2: FloatArray
    duplicates: FloatArray

    @property
    def means(self) -> dict[str, float | None]:
        """Name -> mean over the rows that have a value; None where none has."""
        values = {name: getattr(self, name) for name in ("self_bleu", "distinct_1", "distinct_2", "duplicates")}
        known = {name: column[~np.isnan(column)] for name, column in values.items()}
        return {name: float(column.mean()) if len(column) else None for name, column in known.items()}


def choose_tokenizer(texts: Iterable[str]) -> WordTokenizer:
    """The tokenizer that suits texts: `words`, unless a fifth or more is kana and Chinese characters.

    Of those, `ja_mecab` where there is any kana, else `char`. A few hundred texts tell.
    """
    text = "".join(texts)
    letters = len(text) - sum(map(text.count, " \n\t"))
    if len(_UNSPACED.findall(text)) * 5 < max(letters, 1):
        return WordTokenizer.words
    return WordTokenizer.ja_mecab if _KANA.search(text) else WordTokenizer.char


def diversity(rows: Iterable[Sequence[str | None]], tokenizer: WordTokenizer) -> Diversity:
    """Measure the samples of each row; None is a sample that failed, and is left out.

    Self-BLEU is Zhu et al.'s (Texygen, 2018) with sacrebleu's sentence BLEU: up to 4-grams, exponential smoothing,
    orders that a sample is too short for left out. Distinct-n is Li et al.'s (2016), here per n-gram.
    Raises InputError where there are no rows.
    """
    tokenize = _tokenize(tokenizer)
    measured = []
    for samples in rows:
        texts = [text for text in samples if text is not None]
        counts = _ngram_counts([tokenize(text) for text in texts])
        duplicates = 1 - len(set(texts)) / len(texts) if texts else np.nan
        measured.append((len(texts), _self_bleu(counts), _distinct(counts[0]), _distinct(counts[1]), duplicates))
    if not measured:
        raise InputError("no rows: diversity is measured on the samples of at least one row")
    samples, *columns = np.array(measured, dtype=np.float64).T
    return Diversity(
        tokenizer=tokenizer,
        samples=samples.astype(np.int64),
        **dict(zip(("self_bleu", "distinct_1", "distinct_2", "duplicates"), columns, strict=True)),
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


def _distinct(count: IntArray) -> float:
    """Different n-grams / n-grams; NaN without any."""
    return count.shape[1] / float(count.sum()) if count.size else np.nan
