"""Which rows are about the same question: a hash of its text, so that the order of rows changes nothing."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.data.joining.keys import content_keys

Groups = npt.NDArray[np.uint64]


def groups_of(rows: pa.Table, column: str) -> Groups:
    """The hash [n] of each cell of a column of texts, or of lists of texts."""
    keys = content_keys(rows, [column])
    return np.frombuffer(keys.buffers()[1], np.uint64)[::2].copy()


def groups_of_ids(ids: pa.Array) -> Groups:
    """The same of ids (strings, [n])."""
    return groups_of(pa.table({"id": ids}), "id")
