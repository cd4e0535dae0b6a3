"""The words of a text, as a search by words compares them."""

import re
import unicodedata
from collections.abc import Callable
from enum import Enum

from lib.engines.retrieval.library import bm25s

_WORD = re.compile(r"\w+")
_EMPTY = ("助詞", "助動詞", "記号", "フィラー")  # parts of speech that say nothing about a text's subject

Words = Callable[[str], list[str]]


class Language(Enum):
    """What a text is split by.

    en: runs of letters and digits, in lower case, without Lucene's 33 stop words; not stemmed.
    ja: MeCab with the IPA dictionary; dictionary forms (走った → 走る), without particles, auxiliaries and symbols.
    Both normalise with NFKC first, so that full-width letters and digits are as good as any.
    """

    en = "en"
    ja = "ja"


def splitter(language: Language) -> Words:
    """A function from a text to its words, in their order. Not thread-safe."""
    return {Language.en: _english, Language.ja: _japanese}[language]()


def _english() -> Words:
    stop = frozenset(bm25s().stopwords.STOPWORDS_EN)
    return lambda text: [word for word in _WORD.findall(_normal(text)) if word not in stop]


def _japanese() -> Words:
    import ipadic  # type: ignore[import-untyped]
    import MeCab  # type: ignore[import-untyped]

    # one line a word: surface, part of speech, dictionary form (none of a word that isn't in the dictionary)
    formats = r"-F '%m\t%f[0]\t%f[6]\n' -U '%m\t%f[0]\t\n' -E ''"
    tagger = MeCab.Tagger(f"{ipadic.MECAB_ARGS} {formats}")

    def words(text: str) -> list[str]:
        lines = tagger.parse(_normal(text).replace("\0", " ")).splitlines()
        cells = [line.split("\t") for line in lines]
        return [base or surface for surface, kind, base in cells if kind not in _EMPTY and _WORD.search(surface)]

    return words


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()
