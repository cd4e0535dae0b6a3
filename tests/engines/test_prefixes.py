from lib.engines.prefixes import reusable_beginnings, reusable_tokens

PROMPTS = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6, 7], [1, 2, 9, 4, 5], [1, 2, 3, 4], [3, 4, 5, 6]]


def test_beginnings_that_an_earlier_prompt_has() -> None:
    assert reusable_beginnings(PROMPTS, 2) == [0, 4, 2, 2, 0]  # the last token of a prompt is always computed
    assert reusable_tokens(PROMPTS, 2) == 8
    assert reusable_beginnings(PROMPTS, 3) == [0, 3, 0, 3, 0]
    assert reusable_beginnings([], 2) == []
