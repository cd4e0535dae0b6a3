"""How CSV and TSV files are written, where that is not as their suffix says."""

from dataclasses import dataclass
from enum import Enum

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


class Quotes(Enum):  # members in lower case, since OmegaConf knows them by their names
    """What a double quote before a cell is: with `double` it begins a quoted cell, with `none` it is a letter."""

    double = "double"
    none = "none"


@dataclass(frozen=True)
class Dialect:
    """How CSV and TSV files are written. None: the separator is that of the suffix; quotes are `double`, unless a
    file with tabs looks as if they were none (it is refused).
    """

    separator: str | None = None
    quotes: Quotes | None = None


USUAL = Dialect()


def better_separator(header: list[str], separator: str) -> str | None:
    """Another separator that would make more columns of a header; None where there is none."""
    counts = {other: sum(name.count(other) for name in header) for other in SEPARATORS if other != separator}
    best = max(counts, key=lambda other: counts[other])
    return best if counts[best] >= len(header) and (separator == "," or len(header) == 1) else None
