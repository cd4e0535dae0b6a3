"""Windows of sentences around those that a search hit."""

from collections.abc import Iterable

Scored = tuple[range, float]
"""Numbers of consecutive sentences of one document, and how good they are: higher is better."""


def window(hit: int, n: int, count: int, legacy: bool = False) -> range:
    """The sentences from n before a hit to n behind it, of a document of `count` sentences.

    legacy: as the source notebook takes them, documents[max(0, hit - n) : hit + n], which lacks the last one. (Its
    documents have one more sentence, an empty one behind the last 「。」.)
    """
    assert 0 <= hit < count
    return range(max(hit - n, 0), min(hit + n + (not legacy), count))


def merge_windows(windows: Iterable[Scored]) -> list[Scored]:
    """Windows of one document, those that share a sentence made one with the best of their scores; best first.

    Windows that only touch stay two: no sentence would be read twice. Equally good ones keep the document's order.
    """
    merged: list[Scored] = []
    for sentences, score in sorted(windows, key=lambda scored: (scored[0].start, scored[0].stop)):
        if merged and sentences.start < merged[-1][0].stop:
            before, best = merged.pop()
            sentences, score = range(before.start, max(before.stop, sentences.stop)), max(best, score)
        merged.append((sentences, score))
    return sorted(merged, key=lambda scored: -scored[1])
