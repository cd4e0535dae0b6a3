"""Lines of text files, and what a text is written in, where it is not UTF-8.

That is for messages only, since a guess must not become data.
"""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from lib.data.reading.cells import LONGEST
from lib.errors import InputError

_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_KANA = range(0x3041, 0x30FF)


def other_encoding(start: bytes) -> str | None:
    """What a text that begins so is written in, where that shows before anything is decoded; else None."""
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name
    if b"\0" in start[:64]:
        return "UTF-32" if b"\0\0" in start[:64] else "UTF-16"
    return "ISO-2022-JP" if b"\x1b$B" in start or b"\x1b$@" in start else None


def not_utf8(text: bytes) -> str:
    """Says of bytes that are not UTF-8 what they look like, and what to do."""
    name = other_encoding(text) or _looks_like(text)
    if name is None:
        return "not UTF-8; convert the file to UTF-8"
    return f"not UTF-8, but by its looks {name}; {convert(name)}"


def convert(name: str) -> str:
    """What to do about another encoding."""
    return f"convert the file (iconv -f {name.upper()} -t UTF-8)"


def _looks_like(text: bytes) -> str | None:
    for name, codec in (("EUC-JP", "euc_jp"), ("Shift_JIS", "cp932")):
        if any(ord(character) in _KANA for character in _decoded(text, codec)):
            return name
    if any(character.isalpha() and ord(character) > 0x7F for character in _decoded(text, "cp1252")):
        return "Windows-1252" if len(text) > 2 * sum(byte > 0x7F for byte in text) else None
    return None


def _decoded(text: bytes, codec: str) -> str:
    try:
        return text.decode(codec)
    except UnicodeDecodeError:
        return ""


def lines(url: str, file: BinaryIO, first: int = 1) -> Iterator[bytes]:
    """Lines, none of which is taken in whole before it is known to be of bearable length. Raises InputError.

    first: the number of the first of them in the file.
    """
    number = first - 1
    while line := file.readline(LONGEST + 1):
        number += 1
        if number == 1 and (name := other_encoding(line)):
            raise InputError(f"{url}: the file is {name}, not UTF-8; {convert(name)}")
        if len(line) > LONGEST:
            raise InputError(
                f"{url}, line {number}: the line is longer than {LONGEST >> 20} MiB; is this the right file?"
            )
        yield line
