"""Which forward passes the probabilities of labels need: a label is one of several token sequences."""

from collections.abc import Sequence

from lib.types import Label

Tokens = tuple[int, ...]


def distinct(label: Label) -> list[Tokens]:
    """The token sequences of a label without those that another one of it begins.

    Every text that starts with "AB" starts with "A" too: adding its probability would count it twice.
    """
    unique = sorted(set(label))  # a prefix sorts right before what it begins
    kept: list[Tokens] = []
    for sequence in unique:
        assert sequence, "a label of no tokens at all"
        if not kept or sequence[: len(kept[-1])] != kept[-1]:
            kept.append(sequence)
    return kept


def paths(labels: Sequence[Sequence[Tokens]]) -> list[Tokens]:
    """The fewest token sequences to feed after a prompt so that every token of every label is predicted once.

    These are the leaves of the trie of all proper prefixes; none where every label is one token.
    """
    prefixes = {sequence[:-1] for label in labels for sequence in label if len(sequence) > 1}
    return sorted(path for path in prefixes if not any(path == other[: len(path)] != other for other in prefixes))


def next_tokens(labels: Sequence[Sequence[Tokens]], prefix: Tokens) -> list[int]:
    """The tokens whose probability after `prefix` is asked for, ascending."""
    size = len(prefix)
    return sorted({s[size] for label in labels for s in label if len(s) > size and s[:size] == prefix})


def prefixes(labels: Sequence[Sequence[Tokens]]) -> list[Tokens]:
    """All proper prefixes of the labels' token sequences, ascending: the empty one first."""
    return sorted({sequence[:size] for label in labels for sequence in label for size in range(len(sequence))})
