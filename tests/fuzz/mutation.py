"""Mutating small files: bytes, lines and cells that real files have had wrong."""

import random

_ODD = [
    *(b"\xff", b"\xef\xbb\xbf", b"\x00", b"\x1a", b"\x1f\x8b", b"\xe2\x80\xa8", "判定".encode(), "\U0001f600".encode()),
    *(b'"', b"'", b'""', b",", b"\t", b";", b" ", b"\r", b"\n", b"\n\n", b"[[", b"[]", b"{", b"}", b"{}", b"\\ud800"),
    *(b"null", b"true", b"NaN", b"0", b"1", b"-1e999", b"9" * 400, b"[" * 1000, b'{"a":' * 300, b"1970-01-01"),
    *(b"id", b"error"),
]


def mutate(content: bytes, source: random.Random) -> bytes:
    """One to four mutations of a file."""
    for _ in range(source.randint(1, 4)):
        content = source.choice(_MUTATIONS)(content, source)
    return content


def _flip(content: bytes, source: random.Random) -> bytes:
    changed = bytearray(content or b" ")
    changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


def _insert(content: bytes, source: random.Random) -> bytes:
    place = source.randint(0, len(content))
    return content[:place] + source.choice(_ODD) + content[place:]


def _cut(content: bytes, source: random.Random) -> bytes:
    first, last = sorted(source.randint(0, len(content)) for _ in range(2))
    return content[:first] + content[last:] if source.random() < 0.7 else content[:first]


def _repeat_line(content: bytes, source: random.Random) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    return b"".join([*lines, source.choice(lines)])


def _swap_cell(content: bytes, source: random.Random) -> bytes:
    separator = source.choice([b",", b"\t", b":", b" "])
    cells = content.split(separator)
    cells[source.randrange(len(cells))] = source.choice([*_ODD, source.choice(cells)])
    return separator.join(cells)


_MUTATIONS = [_flip, _insert, _insert, _cut, _repeat_line, _swap_cell, _swap_cell]
