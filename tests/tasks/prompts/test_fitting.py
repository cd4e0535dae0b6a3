import random

import pytest

from lib.tasks.prompts.fitting import MARKER, MIN_TURN_TOKENS, Fitted, Sides, fit, water_level


class Words:
    """A tokenizer whose tokens are words with the blanks before them."""

    has_chat_template = False

    def encode(self, text: str) -> list[int]:
        return [hash(text[start:end]) for start, end in self.spans(text)]

    def spans(self, text: str) -> list[tuple[int, int]]:
        spans, start = [], 0
        for word in text.split(" "):
            spans.append((start, start + len(word)))
            start += len(word) + 1
        return [span for span in spans if span[0] < span[1]]


def words(name: str, count: int) -> str:
    return " ".join(f"{name}{i}" for i in range(count))


def fit_words(sides: Sides, limit: int, parts: list[tuple[int, ...]] | None = None) -> Fitted:
    tokenizer = Words()
    parts = parts or [tuple(range(len(sides)))]

    def render(texts: Sides) -> list[list[int]]:
        return [tokenizer.encode("fixed text " + " ".join(t for s in part for t in texts[s])) for part in parts]

    return fit(sides, parts, render, tokenizer, limit)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lengths", "budget", "level"),
    [([5, 5], 10, 5), ([5, 5], 9, 4), ([1, 9], 6, 5), ([3, 100, 100], 43, 20), ([7], 0, 0), ([7], -3, 0), ([], 4, 0)],
)
def test_water_level(lengths: list[int], budget: int, level: int) -> None:
    assert water_level(lengths, budget) == level


def test_water_level_is_the_largest_that_fits() -> None:
    generator = random.Random(0)
    for _ in range(300):
        lengths = [generator.randint(0, 60) for _ in range(generator.randint(1, 8))]
        budget = generator.randint(0, 200)
        level = water_level(lengths, budget)
        assert sum(min(n, level) for n in lengths) <= budget
        assert level == max(lengths) or sum(min(n, level + 1) for n in lengths) > budget


def test_what_fits_is_left_alone() -> None:
    sides = [[words("p", 5)], [words("a", 6)], [words("b", 7)]]
    fitted = fit_words(sides, 20)
    assert fitted.sides == sides
    assert fitted.cut == [0, 0, 0]


def test_longest_is_cut_first_in_its_middle_and_responses_alike() -> None:
    fitted = fit_words([[words("p", 10)], [words("a", 100)], [words("b", 300)]], 112)
    prompt, a, b = (side[0] for side in fitted.sides)
    assert prompt == words("p", 10)
    assert a.startswith("a0 ")
    assert a.endswith(" a99")
    assert b.startswith("b0 ")
    assert b.endswith(" b299")
    assert MARKER in a
    assert MARKER in b
    assert len(a.split(" ")) == len(b.split(" "))
    assert len(fitted.requests[0]) <= 112
    assert len(fitted.requests[0]) >= 110  # the room is used
    assert fitted.cut[0] == 0
    assert fitted.cut[1] == 50
    assert fitted.cut[2] == 250


def test_oldest_exchange_goes_when_turns_would_become_too_short() -> None:
    turns = 12
    sides = [[words(f"{side}{turn}x", 40) for turn in range(turns)] for side in "pab"]
    fitted = fit_words(sides, 200)
    kept = len(fitted.sides[0])
    assert 1 <= kept < turns
    assert all(len(side) == kept for side in fitted.sides)
    assert fitted.sides[0][-1].startswith("p11x0 ")  # the most recent is kept
    assert all(len(Words().spans(turn)) >= MIN_TURN_TOKENS for side in fitted.sides for turn in side)
    assert sum(fitted.cut) == 3 * turns * 40 - sum(min(40, len(Words().spans(t))) for s in fitted.sides for t in s)


def test_each_request_of_a_row_fits_and_texts_are_the_same_in_all() -> None:
    sides = [[words("p", 30)], [words("a", 10)], [words("b", 500)]]
    fitted = fit_words(sides, 60, parts=[(0, 1), (0, 2)])
    assert [len(request) <= 60 for request in fitted.requests] == [True, True]
    assert fitted.sides[1] == [words("a", 10)]


def test_no_row_is_ever_lost_to_the_limit() -> None:
    generator = random.Random(1)
    for _ in range(200):
        sides = [[words("w", generator.randint(0, 80)) for _ in range(generator.randint(1, 9))] for _ in range(3)]
        fitted = fit_words(sides, 50)
        assert len(fitted.requests[0]) <= 50
