"""Prompts with common beginnings, for engines that have a prefix cache. Pure."""

from collections.abc import Sequence

from lib.types import TokenIds


def reusable_beginnings(prompts: Sequence[TokenIds], block: int) -> list[int]:
    """Tokens of each prompt that an endless cache of whole blocks would spare: a beginning that an earlier one has too.

    The last token of a prompt is always computed, as its answer is read there.
    """
    seen: set[int] = set()
    spared = [0] * len(prompts)
    for number, prompt in enumerate(prompts):
        beginning = 0
        for end in range(block, len(prompt), block):
            beginning = hash((beginning, *prompt[end - block : end]))
            if beginning in seen:
                spared[number] = end
            seen.add(beginning)
    return spared


def meeting_order(prompts: Sequence[TokenIds], block: int) -> list[int]:
    """An order in which a cache of any size serves prompts well, and the last ones are short.

    Prompts that share more whole blocks than all of them do stand side by side: the cache still has the beginning of
    the one when the next comes. Such families come longest prompt first, so that the engine runs empty quickly.
    """
    if not prompts:
        return []
    ranked = sorted(range(len(prompts)), key=lambda number: list(prompts[number]))
    common = _shared_blocks(prompts[ranked[0]], prompts[ranked[-1]], block)
    families = [[ranked[0]]]
    for number in ranked[1:]:
        if _shared_blocks(prompts[families[-1][-1]], prompts[number], block) > common:
            families[-1].append(number)
        else:
            families.append([number])
    families.sort(key=lambda family: -max(len(prompts[number]) for number in family))
    return [number for family in families for number in family]


def _shared_blocks(one: TokenIds, other: TokenIds, block: int) -> int:
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return same // block
