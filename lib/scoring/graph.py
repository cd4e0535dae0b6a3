"""Which systems are connected by their battles."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lib.scoring.probabilities import IntArray


def components(edges: IntArray, s: int, *, directed: bool) -> npt.NDArray[np.integer[Any]]:
    """[s] number of each node's connected component, from 0; strongly connected where edges [n, 2] have a direction."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    matrix = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(s, s))
    label: npt.NDArray[np.integer[Any]] = connected_components(matrix, directed, connection="strong")[1]
    return label


def groups(pairs: IntArray, s: int) -> list[IntArray]:
    """The systems of each group that pairs [n, 2] connect; one group where all are connected."""
    label = components(pairs, s, directed=False)
    return [np.flatnonzero(label == number) for number in range(int(label.max()) + 1)]
