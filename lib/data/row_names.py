"""What rows of results are called."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa


def row_names(ids: pa.Array | pa.ChunkedArray, numbers: Iterable[int]) -> list[str | None]:
    """The ids of rows, or their numbers where no row has one, since there are none in their table.

    None is a row that alone lacks one: it was recorded as a bad row, and a number could be another row's id.
    """
    names: list[str | None] = ids.to_pylist()
    return [str(number) for number in numbers] if ids.null_count == len(ids) else names


def name_blocks(ids: Callable[[], Iterable[pa.Array]]) -> Iterator[pa.Array]:
    """The same of rows in blocks, whose ids can be read more than once: their names (strings), block by block."""
    has_ids = any(block.null_count < len(block) for block in ids())
    row = 0
    for block in ids():
        numbers = np.arange(row, row + len(block))
        yield block.cast(pa.string()) if has_ids else pa.array(numbers).cast(pa.string())
        row += len(block)
