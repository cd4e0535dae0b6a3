"""Tables as plain text, for the terminal."""

import unicodedata
from collections.abc import Sequence


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others (numbers) to the right."""
    lines = [header, *rows]
    widths = [max(display_width(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(_pad(cell, width, left=i == 0) for i, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )


def display_width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int, *, left: bool) -> str:
    blank = " " * (width - display_width(text))
    return text + blank if left else blank + text
