"""Reading a verdict out of what a judge wrote."""

import re
import unicodedata
from collections.abc import Sequence

THINK, THOUGHT = "<think>", "</think>"  # what reasoning models put around their reasoning


def verdict(text: str, labels: Sequence[str]) -> int | None:
    """The number of the label that stands last in an answer; None where none does.

    The answer is what follows the reasoning; one that is still in its reasoning has none. A label has neither an ASCII
    letter nor a digit beside it, so that "判定はBです" names B and "tied" names nothing. Upper and lower case differ;
    wide and narrow letters don't (NFKC). Where two labels end at one place, the longer is meant.
    """
    answer = unicodedata.normalize("NFKC", text.rpartition(THOUGHT)[2])
    if THINK in answer:
        return None
    found = [
        (place.end(), place.end() - place.start(), number)
        for number, label in enumerate(labels)
        for place in _alone(unicodedata.normalize("NFKC", label)).finditer(answer)
    ]
    return max(found)[2] if found else None


def _alone(label: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(label)}(?![A-Za-z0-9])")
