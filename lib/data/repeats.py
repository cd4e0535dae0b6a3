"""Finding texts that are there twice among more than fit into memory: by hashes of eight bytes, sorted part by part."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]

_AT_ONCE = 8192  # texts that are hashed together
_MOST_HELD = 1 << 18  # hashes in memory, until they go to disk
_BORDERS = np.arange(1, 64, dtype=np.uint64) << np.uint64(58)

# Both odd, so that no power and no product loses what there was.
_BASE, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


def text_hashes(texts: pa.Array) -> Hashes:
    """A hash [n] of each text: that of a polynomial, whose coefficients are its bytes. Null is as the empty text."""
    texts = texts.fill_null("").cast(pa.large_string())
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    first, last = int(ends[0]), int(ends[-1])
    content = np.frombuffer(data, np.uint8)[first:last] if last > first else np.empty(0, np.uint8)
    ends = ends - first
    lengths = np.diff(ends)
    powers = np.cumprod(np.full(int(lengths.max(initial=0)), _BASE))
    weighed = powers[np.arange(len(content)) - np.repeat(ends[:-1], lengths)]
    weighed *= content.astype(np.uint64) + np.uint64(1)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(weighed)])  # modulo 2^64, so that differences are right
    found = sums[ends[1:]] - sums[ends[:-1]]
    found ^= found >> np.uint64(32)
    return np.asarray(found * _MIX, dtype=np.uint64)


class Repeats:
    """Takes texts block by block, and tells which hashes came twice. Memory: some 20 MiB; the rest is on disk."""

    def __init__(self, folder: Path) -> None:
        """folder: where there is room for 8 bytes a text, meanwhile."""
        self._folder, self._stack = folder, ExitStack()
        self._held: list[Hashes] = []
        self._parts: list[IO[bytes]] = []  # files of the hashes between two of `_BORDERS`

    def __enter__(self) -> "Repeats":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, texts: pa.Array) -> None:
        """Take some more."""
        self._held += [text_hashes(texts.slice(first, _AT_ONCE)) for first in range(0, len(texts), _AT_ONCE)]
        if sum(map(len, self._held)) > _MOST_HELD:
            self._spill()

    def found(self) -> Hashes:
        """The hashes that came twice."""
        if self._parts:
            self._spill()
        parts = map(_content, self._parts) if self._parts else [np.concatenate([np.empty(0, np.uint64), *self._held])]
        return np.concatenate([_repeated(part) for part in parts])

    def _spill(self) -> None:
        if not self._parts:
            for _ in range(len(_BORDERS) + 1):
                opened = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed with the others
                self._parts.append(self._stack.enter_context(opened))
        held = np.sort(np.concatenate(self._held)) if self._held else np.empty(0, np.uint64)
        for file, part in zip(self._parts, np.split(held, np.searchsorted(held, _BORDERS)), strict=True):
            file.write(part.tobytes())
        self._held = []


def _content(file: IO[bytes]) -> Hashes:
    file.seek(0)
    return np.frombuffer(file.read(), np.uint64)


def _repeated(hashes: Hashes) -> Hashes:
    hashes = np.sort(hashes)
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
