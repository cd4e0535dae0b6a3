"""Labels: the words that a model answers with, and their token sequences."""

from collections.abc import Sequence

from lib.errors import ConfigError
from lib.types import Label, Tokenizer


def label_tokens(labels: Sequence[str], tokenizer: Tokenizer) -> list[Label]:
    """The token sequences of each label: bare and after a blank.

    Raises ConfigError where a sequence of one label begins one of another: its probability would count for both.
    """
    found = [tuple(dict.fromkeys(tuple(tokenizer.encode(text)) for text in (x, f" {x}"))) for x in labels]
    for i, first in enumerate(found):
        for second in found[i + 1 :]:
            for x, y in ((x, y) for x in first for y in second):
                if x[: len(y)] == y[: len(x)]:
                    raise ConfigError(
                        f"prompt.labels={list(labels)}: to this engine's tokenizer one label begins another "
                        f"({list(x)} and {list(y)} as tokens), so it can't tell them apart; choose other labels"
                    )
    return found


def longest(labels: Sequence[Label]) -> int:
    """Tokens of the longest sequence."""
    return max(len(sequence) for label in labels for sequence in label)
