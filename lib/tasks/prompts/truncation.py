"""How the texts of a battle are cut where they do not fit."""

from enum import Enum

from lib.tasks.prompts.fitting import Sides

MOST_CHARS = 7200  # of all turns that are kept
FALLBACK_CHARS = (1000, 3000, 3000)  # of prompt, response A and response B, where one exchange alone is longer


class Truncate(Enum):
    """fair: fitting alone (`fitting.fit`): longest turns first, in their middle, both responses alike.

    turns_chars: first whole exchanges are dropped, by characters (see `drop_turns`); what is still too long for the
    model is then fitted as well. none: nothing is cut; a row that is too long fails.
    """

    fair = "fair"
    turns_chars = "turns_chars"
    none = "none"


def drop_turns(sides: Sides) -> Sides:
    """The most recent exchanges of at most 7,200 characters together; of one that is longer, each text's beginning."""
    last = max(map(len, sides))
    first = last
    while first > 0 and sum(len(turn) for side in sides for turn in side[first - 1 :]) <= MOST_CHARS:
        first -= 1
    if first < last:
        return [side[first:] for side in sides]
    return [[turn[:most] for turn in side[last - 1 :]] for side, most in zip(sides, FALLBACK_CHARS, strict=True)]
