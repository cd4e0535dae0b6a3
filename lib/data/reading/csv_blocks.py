"""Blocks of CSV and TSV sources as Arrow columns where they are strictly regular, and row by row where they aren't."""

import io
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from lib.data.reading.cells import BLOCK_BYTES, BUFFER_BYTES, REFUSED, SMALL_BYTES, Block
from lib.data.reading.delimited import CsvReader, decoded
from lib.data.reading.dialect import Dialect
from lib.data.reading.sources import Source, open_source

Bits = npt.NDArray[np.uint64]
"""One bit for each byte of a text, the first one lowest."""

_NEWLINE, _RETURN, _QUOTE = b'\n\r"'
_ONE = np.uint64(1)


def csv_blocks(source: Source, columns: Sequence[str], dialect: Dialect, end: int | None) -> Iterator[Block]:
    """The cells of all rows, or of those before `end`: as `csv_rows` gives them, or columns of strings.

    Arrow's reader is more lenient than ours, so it gets only what both must read alike. Behind anything else our reader
    goes on until it has read a block.
    """
    size = largest = BLOCK_BYTES if end is None else BUFFER_BYTES
    with open_source(source) as file:
        ahead = _Ahead(file)
        if ahead.block(len(BOM_UTF8)) == BOM_UTF8:
            ahead.drop(len(BOM_UTF8))
        reader = CsvReader(source, dialect, decoded(ahead, "utf-8"))
        if not reader.read_header():
            return
        ahead.drop(reader.bytes)
        positions = {name: reader.header.index(name) for name in columns}
        while (end is None or reader.row < end) and (data := ahead.block(size)):
            length = _regular(data, reader, last=len(data) < size)
            table = _columns(data[:length], positions, reader) if length else None
            if table is not None:
                if end is not None:
                    table = table.slice(0, end - reader.row)
                ahead.drop(length)
                reader.lines += data.count(b"\n", 0, length)
                reader.row += table.num_rows
                yield table
            elif size // 4 >= SMALL_BYTES:
                size //= 4  # the part that is odd may be small
                continue
            else:
                before = reader.bytes
                reader.read_on(decoded(ahead, "utf-8"))
                for cells in reader.cells(columns, end):
                    yield cells
                    if reader.bytes - before >= len(data):
                        break
                ahead.drop(reader.bytes - before)
            size = min(4 * size, largest)


class _Ahead(io.RawIOBase):
    """A file of which bytes that were read may be read again, unless they were dropped."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = bytearray()
        self._place = 0

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Stay open, for whoever reads the text next; the file is closed by whoever opened it."""

    def block(self, size: int) -> bytes:
        """The next bytes, fewer than `size` only at the end of the file; they stay to be read."""
        while len(self._data) < size and (more := self._file.read(size - len(self._data))):
            self._data += more
        return bytes(self._data[:size])

    def readinto(self, buffer: Any) -> int:
        if self._place == len(self._data):
            self._data += self._file.read1(len(buffer))  # type: ignore[attr-defined]  # a BufferedReader
        part = self._data[self._place : self._place + len(buffer)]
        buffer[: len(part)] = part
        self._place += len(part)
        return len(part)

    def drop(self, size: int) -> None:
        """Forget bytes; what is behind them is read next."""
        del self._data[:size]
        self._place = 0


def _regular(data: bytes, reader: CsvReader, *, last: bool) -> int:
    """How many bytes of a text are whole rows, all of them strictly regular; 0 where any of it isn't."""
    if not reader.separator.isascii() or b"\0" in data:
        return 0
    text = np.frombuffer(data, np.uint8)
    newlines = line_ends = text == _NEWLINE
    if b"\r" in data:
        returns = text == _RETURN
        if (returns[:-1] & ~newlines[1:]).any() or (last and returns[-1]):
            return 0
        line_ends = newlines | returns
    if not reader.quoting or b'"' not in data:
        return len(data) if last else data.rfind(b"\n") + 1
    if reader.unsure:
        return 0
    quotes = text == _QUOTE
    quote, newline = _bits(quotes), _bits(newlines)
    inside = _odd_before(quote)
    edge = _bits(quotes | line_ends | (text == ord(reader.separator)))
    behind_edge = edge << _ONE
    behind_edge[1:] |= edge[:-1] >> np.uint64(63)
    behind_edge[0] |= _ONE
    before_edge = edge >> _ONE
    before_edge[:-1] |= edge[1:] << np.uint64(63)
    before_edge[(len(data) - 1) // 64] |= _ONE << np.uint64((len(data) - 1) % 64)
    if (quote & inside & ~behind_edge).any() or (quote & ~inside & ~before_edge).any():
        return 0
    if last:
        return 0 if int(inside[-1]) >> 63 else len(data)
    ends = np.flatnonzero(newline & ~inside)
    return 64 * int(ends[-1]) + int((newline & ~inside)[ends[-1]]).bit_length() if len(ends) else 0


def _bits(mask: npt.NDArray[np.bool_]) -> Bits:
    packed = np.packbits(mask, bitorder="little")
    return np.pad(packed, (0, -len(packed) % 8)).view("<u8")


def _odd_before(bits: Bits) -> Bits:
    """Where the number of bits up to and including this one is odd."""
    odd = bits.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        odd ^= odd << np.uint64(shift)
    ends = np.bitwise_xor.accumulate(odd >> np.uint64(63))
    odd[1:] ^= np.uint64(0) - ends[:-1]
    return odd


def _columns(data: bytes, positions: dict[str, int], reader: CsvReader) -> pa.RecordBatch | None:
    """The cells of some columns; None where Arrow refuses any."""
    names = [str(place) for place in range(len(reader.header))]
    wanted = [names[place] for place in positions.values()]
    try:
        table = csv.read_csv(
            pa.py_buffer(data),
            csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            csv.ParseOptions(
                delimiter=reader.separator,
                quote_char='"' if reader.quoting else False,
                newlines_in_values=reader.quoting,
            ),
            csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except REFUSED:
        return None
    table = table.rename_columns(list(positions)).combine_chunks()
    return table.to_batches()[0] if table.num_rows else None
