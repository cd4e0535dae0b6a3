"""Whether the likelihood of votes has a maximum at finite ratings, and which systems keep it from having one."""

from dataclasses import dataclass

import numpy as np

from lib.errors import InputError
from lib.scoring.probabilities import IntArray
from lib.scoring.ranking.graph import components, feasible, groups
from lib.scoring.ranking.votes import Rows

# What all votes of a pair add up to in favour of one side, below which it has not won: probabilities are never 0.
_NO_WIN = 1e-3


@dataclass(frozen=True)
class Extremes:
    """Numbers of systems. undefeated: of each group that lost to nobody outside it, and tied with nobody there;
    winless: that beat nobody outside it, and tied with nobody there."""

    undefeated: tuple[int, ...] = ()
    winless: tuple[int, ...] = ()


def require_connected(names: tuple[str, ...], rows: Rows) -> None:
    """Raise InputError where systems can't be compared: they fall apart into groups that never met."""
    found = groups(rows.pairs, len(names))
    if len(found) > 1:
        shown = [", ".join(names[i] for i in group[:20]) + (", …" if len(group) > 20 else "") for group in found[:20]]
        listed = " | ".join(shown) + (" | …" if len(found) > 20 else "")
        raise InputError(
            f"these groups of systems never met in a vote that counts: {listed}; "
            "get votes between the groups, or rank each group by itself"
        )


def any_ties(rows: Rows) -> bool:
    """Whether there are ties enough for a tie parameter to have a value."""
    return bool(rows.happened[:, 2].sum() > _NO_WIN)


def has_maximum(rows: Rows, s: int, *, tied: bool) -> bool:
    """Whether the likelihood has a maximum, covariates apart. tied: whether there is a tie parameter, and ties.

    Bradley-Terry: no group of systems has won everything against the others, a tie being as good as a win for both
    (Ford, Solution of a ranking problem from binary comparisons, 1957). With a tie parameter also: ratings can't be
    such that winners are ahead of losers by 1 or more, and systems that tied less than 1 apart; else all of it could
    become certain together.
    """
    beaten, drawn = _edges(rows)
    both = np.concatenate([beaten, drawn, drawn[:, ::-1]])
    if len(np.unique(components(both, s, directed=True))) > 1:
        return False
    if not tied or len(np.unique(components(beaten, s, directed=True))) < s:
        return True
    ahead = np.concatenate([np.full(len(beaten), -1.0), np.ones(2 * len(drawn))])
    return not feasible(both, ahead, s)


def extremes(rows: Rows, s: int) -> Extremes:
    """The systems that won, or lost, everything against all others that they met; the largest group is the others."""
    beaten, drawn = _edges(rows)
    both = np.concatenate([beaten, drawn, drawn[:, ::-1]])
    label = components(both, s, directed=True)
    above, below = label[both[:, 0]], label[both[:, 1]]
    across = above != below
    size = np.bincount(label)
    main = (label == np.argmax(size)) & (size.max() > 1)
    lost, won = np.isin(label, below[across]) | main, np.isin(label, above[across]) | main
    return Extremes(
        undefeated=tuple(np.flatnonzero(won & ~lost).tolist()), winless=tuple(np.flatnonzero(lost & ~won).tolist())
    )


def _edges(rows: Rows) -> tuple[IntArray, IntArray]:
    """Pairs [w, 2] of winner and loser, and pairs [t, 2] that tied."""
    first, second, tied = (rows.happened > _NO_WIN).T
    beaten = np.concatenate([rows.pairs[first], rows.pairs[second][:, ::-1]])
    return np.unique(beaten, axis=0), np.unique(rows.pairs[tied], axis=0)
