"""Agreement of two lists of numbers, such as similarities of sentences and people's scores for them."""

import numpy as np
import numpy.typing as npt


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Rank correlation of two [n], in [-1, 1]; equal values share their mean rank. NaN where either is constant."""
    from scipy.stats import rankdata

    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
