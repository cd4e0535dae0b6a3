import random
from collections.abc import Sequence

from lib.engines.decoding.prefixes import meeting_order, reusable_beginnings

SYSTEM = list(range(8))


def reusable_tokens(prompts: Sequence[Sequence[int]], block: int) -> int:
    return sum(reusable_beginnings(prompts, block))


def test_whole_blocks_that_stood_before_are_spared() -> None:
    assert reusable_tokens([], 4) == 0
    assert reusable_tokens([SYSTEM, SYSTEM], 4) == 4, "the block with the last token is computed again"
    assert reusable_tokens([[*SYSTEM, 1], [*SYSTEM, 2], [*SYSTEM, 1, 5, 6, 7, 8]], 4) == 16
    assert reusable_tokens([[0, 1, 2, 3, 9], [9, 1, 2, 3, 0, 1, 2, 3, 9]], 4) == 0, "the same block elsewhere"


def test_what_is_spared_of_each() -> None:
    prompts = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6, 7], [1, 2, 9, 4, 5], [1, 2, 3, 4], [3, 4, 5, 6]]
    assert reusable_beginnings(prompts, 2) == [0, 4, 2, 2, 0]
    assert reusable_beginnings(prompts, 3) == [0, 3, 0, 3, 0]


def battles(count: int, seed: int = 0) -> list[list[int]]:
    """Both orders of each battle, one after the other; all begin with the same text."""
    draw = random.Random(seed)
    prompts = []
    for _ in range(count):
        question, a, b = ([draw.randrange(50) for _ in range(draw.randrange(5, 30))] for _ in range(3))
        prompts += [[*SYSTEM, *question, 50, *a, 51, *b], [*SYSTEM, *question, 50, *b, 51, *a]]
    return prompts


def test_what_shares_a_beginning_stands_together_longest_first() -> None:
    prompts = battles(40)
    random.Random(1).shuffle(prompts)
    order = meeting_order(prompts, 4)
    assert sorted(order) == list(range(80))
    questions = [tuple(prompts[n][8 : prompts[n].index(50)]) for n in order]
    assert all(questions[n] == questions[n + 1] for n in range(0, 80, 2))
    longest = [max(len(prompts[order[n]]), len(prompts[order[n + 1]])) for n in range(0, 80, 2)]
    assert longest == sorted(longest, reverse=True)


def test_a_small_cache_is_enough_in_that_order() -> None:
    prompts = battles(40)
    random.Random(2).shuffle(prompts)
    ordered = [prompts[n] for n in meeting_order(prompts, 4)]
    assert spared_by_two_prompts(ordered) > 0.95 * reusable_tokens(prompts, 4) > 1.5 * spared_by_two_prompts(prompts)


def spared_by_two_prompts(prompts: list[list[int]]) -> int:
    """By a cache that holds the beginnings of the prompt before, and nothing else."""
    pairs = zip([[], *prompts], prompts, strict=False)
    return sum(reusable_tokens([before, prompt], 4) for before, prompt in pairs)


def test_few_prompts() -> None:
    assert meeting_order([], 4) == []
    assert meeting_order([[1, 2]], 4) == [0]
    assert meeting_order([[1], [1, 2, 3]], 4) == [1, 0]
    assert meeting_order([[1, 2], [1, 2]], 4) == [0, 1]
