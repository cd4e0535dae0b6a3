"""Iterating ahead of whoever uses the parts: reading, checking and writing share the processors."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Part = TypeVar("_Part")


def ahead(parts: Iterator[_Part]) -> Iterator[_Part]:
    """The same parts in their order, the next one of which is made in a thread while one is used.

    What making a part raises is raised in its place. Nothing is made any more once the caller has stopped asking.
    """
    with ThreadPoolExecutor(1, "ahead") as pool:
        try:
            made = pool.submit(_next, parts)
        except RuntimeError:  # there is no memory for a thread: then one part after another
            yield from parts
            return
        while part := made.result():
            made = pool.submit(_next, parts)
            yield part[0]


def _next(parts: Iterator[_Part]) -> tuple[_Part] | None:
    """The next part; None behind the last: StopIteration can't be handed through a future."""
    for part in parts:
        return (part,)
    return None
