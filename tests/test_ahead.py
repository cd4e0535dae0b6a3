"""Iterating ahead in a thread."""

import threading
from collections.abc import Iterator

import pytest

from lib.ahead import ahead


def test_parts_come_in_their_order() -> None:
    assert list(ahead(iter([3, 1, 0, 2, None]))) == [3, 1, 0, 2, None]
    assert list(ahead(iter([]))) == []


def test_a_part_is_made_while_another_is_used() -> None:
    made = threading.Event()

    def parts() -> Iterator[int]:
        yield 0
        made.set()
        yield 1

    for part in ahead(parts()):
        assert part or made.wait(10)


def test_an_error_is_raised_in_its_place() -> None:
    def parts() -> Iterator[int]:
        yield 0
        raise ValueError("the second")

    found = ahead(parts())
    assert next(found) == 0
    with pytest.raises(ValueError, match="the second"):
        next(found)


def test_without_room_for_a_thread_parts_are_made_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(ahead(iter([3, 1, 2]))) == [3, 1, 2]


def test_whoever_stops_asking_stops_the_making() -> None:
    made, closed = [], threading.Event()

    def parts() -> Iterator[int]:
        try:
            for part in range(1000):
                made.append(part)
                yield part
        finally:
            closed.set()

    for part in ahead(ahead(parts())):
        if part == 2:
            break
    assert closed.wait(10)
    assert len(made) < 10
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())
