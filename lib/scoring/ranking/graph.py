"""Which systems are connected by their battles."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lib.scoring.probabilities import FloatArray, IntArray


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


def feasible(edges: IntArray, most: FloatArray, s: int) -> bool:
    """Whether there are numbers x [s] with x[j] - x[i] <= most for each edge (i, j) of edges [n, 2], most [n].

    Edges must lead from node 0 to every other. There are such numbers unless the bounds of some cycle add up to less
    than 0 (Bellman and Ford).
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import NegativeCycleError, bellman_ford

    order = np.lexsort((most, edges[:, 1], edges[:, 0]))
    edges, most = edges[order], most[order]
    tightest = np.append(True, (edges[1:] != edges[:-1]).any(axis=1))
    edges, most = edges[tightest], most[tightest]
    graph = csr_array((most, (edges[:, 0], edges[:, 1])), shape=(s, s))
    try:
        bellman_ford(graph, indices=0)
    except NegativeCycleError:
        return False
    return True
