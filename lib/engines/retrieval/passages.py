"""From hits to passages: what stands in the rows, with their neighbours in the same document."""

from collections.abc import Mapping, Sequence

import numpy as np

from lib.data.rows.windows import merge_windows, window
from lib.engines.retrieval.corpus import Rows, Text
from lib.types import Passage


def around(hits: Rows, n: int) -> Rows:
    """The rows that lie at most n from a hit; ascending, each once."""
    rows = np.unique(hits[:, None] + np.arange(-n, n + 1))
    return rows[rows >= 0]


def passage(texts: Sequence[Text], score: float, joint: str = "") -> Passage:
    """One passage of neighbouring rows, by the id of the first.

    Between them stands what the document has there; joint, where the corpus does not say.
    """
    first, last = texts[0], texts[-1]
    pieces: list[str] = []
    for text in texts:
        if text.text is not None:
            pieces += [text.text, joint if text.after is None else text.after]
    return Passage(
        id=first.id, text="".join(pieces[:-1]), score=score, document=first.document, start=first.start, stop=last.stop
    )


def widened(
    hits: Sequence[tuple[int, float]], texts: Mapping[int, Text], n: int, joint: str, legacy: bool
) -> list[Passage]:
    """Passages of the windows around hits (row, score), those that overlap made one; best first.

    texts: of all rows around the hits. legacy: as in lib.data.rows.windows, and nothing is made one.
    """
    windows = []
    for row, score in hits:
        document = _neighbours(row, texts, n)
        around_hit = window(row - document.start, n, len(document), legacy)
        windows.append((range(document.start + around_hit.start, document.start + around_hit.stop), score))
    found = windows if legacy else merge_windows(windows)
    return [passage([texts[row] for row in rows], score, joint) for rows, score in found]


def _neighbours(row: int, texts: Mapping[int, Text], n: int) -> range:
    """The rows at most n from a row that are of its document."""
    start = stop = row
    while start > row - n and _follows(texts, start - 1):
        start -= 1
    while stop < row + n and _follows(texts, stop):
        stop += 1
    return range(start, stop + 1)


def _follows(texts: Mapping[int, Text], row: int) -> bool:
    """Whether the next row is what follows in the same document: not one of its name, nor one behind a gap."""
    one, other = texts.get(row), texts.get(row + 1)
    if one is None or other is None or one.document is None or one.document != other.document:
        return False
    if one.stop is None or other.start is None:
        return True
    return other.start >= one.stop if one.after is None else other.start == one.stop + len(one.after)
