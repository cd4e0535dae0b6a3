"""Keys of rows: what a row asks, as a hash of the cells that its task reads. Place and id are no part of it."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lib.types import KEY as KEY

KEY_TYPE = pa.binary(16)
"""Of the column KEY, in shards and in the store: 128 bits, so that 50 million differ (chance: 4e-24)."""

ANSWERED = "row.answered"
"""The column, in shards, that tells whether the engine answered a row."""

_ROWS = 4096  # that are encoded at once: few enough to stay in the processor's caches
_BYTES = 1 << 29  # of these, since Arrow's texts end at 2 GiB


def content_keys(rows: pa.Table, columns: Sequence[str]) -> pa.FixedSizeBinaryArray:
    """The key of each row [n], from these columns (texts, or lists of texts).

    Equal rows have equal keys, whatever stands before them; `equal_keys` tells them apart.
    """
    if not columns:
        return pa.array([blake2b(digest_size=16).digest()] * rows.num_rows, KEY_TYPE)
    keys = [
        blake2b(content, digest_size=16).digest()
        for start in range(0, rows.num_rows, _ROWS)
        for content in _contents(rows.slice(start, _ROWS).select(columns))
    ]
    return pa.FixedSizeBinaryArray.from_buffers(KEY_TYPE, rows.num_rows, [None, pa.py_buffer(b"".join(keys))])


def equal_keys(keys: pa.FixedSizeBinaryArray, number: npt.NDArray[np.int64]) -> pa.FixedSizeBinaryArray:
    """The keys [n] of rows that are the `number`-th of their equals, from 0: the first keeps the key of its content.

    They begin with the same byte, by which keys are divided.
    """
    if not number.any():
        return keys
    found = keys.to_pylist()
    for place in np.flatnonzero(number).tolist():
        own = found[place] + int(number[place]).to_bytes(8, "little")
        found[place] = own[:1] + blake2b(own, digest_size=15).digest()
    return pa.array(found, KEY_TYPE)


def _contents(rows: pa.Table) -> list[bytes]:
    """The cells of each row as bytes: lengths first, then all texts, so that different rows never have the same."""
    if rows.num_rows > 1 and rows.nbytes > _BYTES:
        half = rows.num_rows // 2
        return _contents(rows.slice(0, half)) + _contents(rows.slice(half))
    heads, texts = zip(*(_encoded(column.combine_chunks()) for column in rows.columns), strict=True)
    found: list[bytes] = pc.binary_join_element_wise(*heads, *texts, pa.scalar(b"", pa.binary())).to_pylist()
    return found


def _encoded(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The lengths of each cell's texts, as bytes that end with a semicolon; and the texts themselves, joined."""
    if not pa.types.is_list(column.type):
        cells = column.cast(pa.binary())
        return _ended(_lengths(cells)), pc.fill_null(cells, b"")
    items = column.flatten().cast(pa.binary())
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    heads, texts = (
        pc.binary_join(pa.ListArray.from_arrays(offsets, part), joint)
        for part, joint in ((_lengths(items), b","), (pc.fill_null(items, b""), b""))
    )
    return _ended(pc.if_else(pc.is_null(column), pa.scalar(b"~", pa.binary()), heads)), texts


def _lengths(items: pa.Array) -> pa.Array:
    return pc.fill_null(pc.binary_length(items).cast(pa.string()).cast(pa.binary()), b"-")


def _ended(heads: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(heads, pa.scalar(b";", pa.binary()), pa.scalar(b"", pa.binary()))
