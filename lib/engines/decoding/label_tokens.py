"""Which forward passes the probabilities of labels need: labels are token sequences with several spellings."""

from collections.abc import Sequence

from lib.types import Label

Tokens = tuple[int, ...]


def distinct(label: Label) -> list[Tokens]:
    """The spellings of a label without those that another one of it begins.

    Every text that starts with "AB" starts with "A" too: adding its probability would count it twice.
    """
    unique = sorted(set(label))  # a prefix sorts right before what it begins
    kept: list[Tokens] = []
    for spelling in unique:
        assert spelling, "a label spelled by no tokens at all"
        if not kept or spelling[: len(kept[-1])] != kept[-1]:
            kept.append(spelling)
    return kept


def paths(labels: Sequence[Sequence[Tokens]]) -> list[Tokens]:
    """The fewest token sequences to feed after a prompt so that each spelling's every token is predicted once.

    These are the leaves of the trie of all proper prefixes; none where every spelling is one token.
    """
    prefixes = {spelling[:-1] for label in labels for spelling in label if len(spelling) > 1}
    return sorted(path for path in prefixes if not any(path == other[: len(path)] != other for other in prefixes))


def next_tokens(labels: Sequence[Sequence[Tokens]], prefix: Tokens) -> list[int]:
    """The tokens whose probability after `prefix` is asked for, ascending."""
    size = len(prefix)
    return sorted({s[size] for label in labels for s in label if len(s) > size and s[:size] == prefix})


def prefixes(labels: Sequence[Sequence[Tokens]]) -> list[Tokens]:
    """All proper prefixes of the spellings, ascending: the empty one first."""
    return sorted({spelling[:size] for label in labels for spelling in label for size in range(len(spelling))})
