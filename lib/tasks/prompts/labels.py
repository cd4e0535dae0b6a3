"""Labels: the words that a model answers with, and how its tokenizer spells them."""

from collections.abc import Sequence

from lib.errors import ConfigError
from lib.types import Label, Tokenizer


def label_spellings(labels: Sequence[str], tokenizer: Tokenizer) -> list[Label]:
    """The spellings of each label: bare and after a blank.

    Raises ConfigError where a spelling of one label begins one of another: its probability would count for both.
    """
    spelled = [tuple(dict.fromkeys(tuple(tokenizer.encode(text)) for text in (x, f" {x}"))) for x in labels]
    for i, first in enumerate(spelled):
        for second in spelled[i + 1 :]:
            for x, y in ((x, y) for x in first for y in second):
                if x[: len(y)] == y[: len(x)]:
                    raise ConfigError(
                        f"prompt.labels={list(labels)}: to this engine's tokenizer one label begins another "
                        f"({list(x)} and {list(y)} as tokens), so it can't tell them apart; choose other labels"
                    )
    return spelled


def longest(labels: Sequence[Label]) -> int:
    """Tokens of the longest spelling."""
    return max(len(spelling) for label in labels for spelling in label)
