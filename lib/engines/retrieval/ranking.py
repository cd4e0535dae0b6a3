"""Rankings: rows of a corpus with their scores, best first; where scores are equal, the lower row comes first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib.engines.retrieval.corpus import Rows


@dataclass(frozen=True)
class Ranking:
    """What one query found: rows [m] and their scores [m]."""

    rows: Rows
    scores: npt.NDArray[np.floating]


NOTHING = Ranking(np.empty(0, np.int64), np.empty(0, np.float32))


def best(rows: Rows, scores: npt.NDArray[np.floating], k: int) -> Ranking:
    """The k best of some rows, each of which is there once."""
    if len(rows) > k:
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        able = scores >= least  # all that tie with the last one
        rows, scores = rows[able], scores[able]
    order = np.lexsort((rows, -scores))[:k]
    return Ranking(rows[order], scores[order])


def mean_recall(found: Sequence[Ranking], exact: Sequence[Ranking]) -> float:
    """Share of the rows of exact rankings that were found too, on average over the queries, in [0, 1]."""
    shares = [np.isin(true.rows, ours.rows).mean() for ours, true in zip(found, exact, strict=True)]
    return float(np.mean(shares))
