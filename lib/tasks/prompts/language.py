"""Whether a prompt is in the language of what it asks about: as far as kana and letters tell."""

import re
from collections.abc import Sequence

_SLOT = re.compile(r"\{[^{}]*\}")
_KANA = re.compile("[\u3040-\u30ff\uff66-\uff9f]")
_JAPANESE = re.compile("[\u3040-\u30ff\uff66-\uff9f\u3400-\u9fff]")
_LATIN = re.compile("[A-Za-z]")


def differs(template: str, texts: Sequence[str]) -> str | None:
    """What a prompt is and most texts are not, in words; None where they agree, or a prompt has no words of its own."""
    words = _SLOT.sub("", template)
    kana = sum(bool(_KANA.search(text)) for text in texts)
    if _JAPANESE.search(words):
        return "is Japanese, but most questions have no kana" if texts and 2 * kana < len(texts) else None
    if _LATIN.search(words):
        return "is not Japanese, but most questions are" if 2 * kana > len(texts) else None
    return None
