"""Hashes of texts, a whole column at a time: quick, the same on every machine, and not made to withstand an attack."""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Hashes = npt.NDArray[np.uint64]

_LONG = 256  # bytes: longer texts are hashed one by one, which is quicker then


def text_hashes(texts: pa.StringArray, seed: int = 0) -> Hashes:
    """A hash of each string [n], from eight of its bytes at a time; a null is as an empty one."""
    _, offsets, content = texts.buffers()
    starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    lengths = np.diff(starts)
    text = (b"" if content is None else content.to_pybytes()) + bytes(8)
    words = np.ndarray(len(text) - 7, "<u8", text, strides=(1,))  # at each byte, it and the seven behind it
    found = _mixed(lengths.astype(np.uint64) ^ np.uint64(seed))
    rows = np.flatnonzero(lengths <= _LONG)
    for at in range(0, _LONG, 8):
        rows = rows[lengths[rows] > at]
        if not len(rows):
            break
        missing = (8 - np.minimum(lengths[rows] - at, 8)).astype(np.uint64)
        word = words[starts[rows] + at] << (missing * np.uint64(8))
        found[rows] = _mixed(found[rows] ^ word)
    rows, key = np.flatnonzero(lengths > _LONG), seed.to_bytes(8, "little")
    places = zip(starts[rows].tolist(), starts[rows + 1].tolist(), strict=True)
    view = memoryview(text)
    digests = [blake2b(view[start:stop], digest_size=8, key=key).digest() for start, stop in places]
    found[rows] = np.frombuffer(b"".join(digests), "<u8")
    return found


def list_hashes(lists: pa.ListArray) -> Hashes:
    """A hash of each list of strings [n], from all of its texts in their order."""
    ends = np.frombuffer(lists.buffers()[1], np.int32)[lists.offset : lists.offset + len(lists) + 1].astype(np.int64)
    items = text_hashes(lists.values)
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    found = _mixed(counts.astype(np.uint64))
    rows = np.arange(len(lists))
    for place in range(int(counts.max(initial=0))):
        rows = rows[counts[rows] > place]
        found[rows] = _mixed(found[rows] ^ items[ends[rows] + place])
    return found


def as_names(hashes: Hashes) -> pa.StringArray:
    """Hashes as texts of 16 hexadecimal digits."""
    digits = hashes.astype(">u8").tobytes().hex().encode()
    ends = np.arange(0, len(digits) + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(len(hashes), pa.py_buffer(ends), pa.py_buffer(digits))


def _mixed(numbers: Hashes) -> Hashes:
    """Each bit of a number has a say in each bit of what it becomes (the last steps of MurmurHash3)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(33))
