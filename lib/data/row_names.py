"""What rows of results are called."""

from collections.abc import Iterable

import pyarrow as pa


def row_names(ids: pa.Array | pa.ChunkedArray, numbers: Iterable[int]) -> list[str | None]:
    """The ids of rows, or their numbers where no row has one, since there are none in their table.

    None is a row that alone lacks one: it was recorded as a bad row, and a number could be another row's id.
    """
    names: list[str | None] = ids.to_pylist()
    return [str(number) for number in numbers] if ids.null_count == len(ids) else names
