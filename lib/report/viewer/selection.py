"""What of a run's rows is looked at: filters, words, order and page, as they stand in an address."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, urlencode

from lib.errors import InputError

PAGE_ROWS = 50
_VALUE = "is."  # before the name of a column whose value is chosen
_MOST_WORDS = 200  # characters
_MOST_FIELDS = 100


class Flag(Enum):
    """What may be odd about a row. `wrong` and its like are columns of the index, of the same names."""

    wrong = "verdict is not the label"
    flipped = "verdict flips with the order"
    cut = "input was cut"
    unfinished = "text ends at its limit"
    failed = "failed"
    differs = "differs from the other run"
    alone = "not in the other run"


class Order(Enum):
    """Orders that are not those of a column."""

    place = "order of the input"
    least_sure = "least sure first"
    longest = "longest first"
    farthest = "farthest from the other run"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """flags: all of them hold. words: a text that stands somewhere in the row. values: of columns with few values.

    order: of Order, or the name of a column of numbers, largest first; with `up`, the other way round. page: from 0.
    row: the one that is shown, by its number in the result; None for the list. prompt: whether its prompts are made.
    """

    flags: tuple[Flag, ...] = ()
    words: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    order: str = Order.place.name
    up: bool = False
    page: int = 0
    row: int | None = None
    prompt: bool = False

    @property
    def query(self) -> str:
        """The part of an address behind the question mark."""
        given: list[tuple[str, Any]] = [(flag.name, 1) for flag in self.flags]
        given += [("words", self.words)] if self.words else []
        given += [(f"{_VALUE}{name}", value) for name, value in self.values.items()]
        given += [("order", self.order)] if self.order != Order.place.name else []
        given += [(name, 1) for name in ("up", "prompt") if getattr(self, name)]
        given += [("page", self.page)] if self.page and self.row is None else []
        given += [("row", self.row)] if self.row is not None else []
        return urlencode(given)

    def at(self, row: int | None) -> "Selection":
        """The same with this row."""
        return replace(self, row=row)

    def on(self, page: int) -> "Selection":
        """The same on another page of the list."""
        return replace(self, page=page, row=None)


def read_query(query: str) -> Selection:
    """What an address selects; empty fields of a form select nothing. Raises InputError for what it can't mean."""
    try:
        given = {key: value for key, value in parse_qsl(query, max_num_fields=_MOST_FIELDS) if value}
    except ValueError as error:
        raise InputError(f"an address says at most {_MOST_FIELDS} things; leave some out") from error
    flags = tuple(flag for flag in Flag if _is_set(given, flag.name))
    values = {key.removeprefix(_VALUE): given.pop(key) for key in list(given) if key.startswith(_VALUE)}
    words = given.pop("words", "")
    if len(words) > _MOST_WORDS:
        raise InputError(f"words: at most {_MOST_WORDS} characters are searched for; leave some out")
    page, row = (_number(given.pop(key, None), key) for key in ("page", "row"))
    selection = Selection(
        flags=flags,
        words=words,
        values=values,
        order=given.pop("order", Order.place.name),
        up=_is_set(given, "up"),
        page=page or 0,
        row=row,
        prompt=_is_set(given, "prompt"),
    )
    if given:  # else all rows would be shown as those that were meant
        raise InputError(
            f"{next(iter(given))[:80]}: an address says no such thing; take filters from the list of all rows"
        )
    return selection


def _is_set(given: dict[str, str], key: str) -> bool:
    value = given.pop(key, None)
    if value not in (None, "1"):
        raise InputError(f"{key}={value[:20]}: must be 1, or be left out")
    return value is not None


def _number(text: str | None, key: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise InputError(f"{key}={text[:20]}: must be a whole number, from 0")
    return int(text)
