"""Who meets whom in a tournament."""

from itertools import combinations

import numpy as np

from lib.errors import ConfigError
from lib.scoring.probabilities import IntArray
from lib.scoring.ranking.graph import groups


def pairings(systems: int, questions: int, *, pairs: int | None, seed: int = 0) -> IntArray:
    """Battles [n, 3] of question, system shown first, system shown second; all pairs, or so many for each question.

    Balanced: pairs meet equally often, and systems fight equally often, within one or two battles; a pair takes turns
    in who is first, and each system is first in about half of its battles. The battles of a question don't depend on
    how many questions follow.
    Raises ConfigError for fewer than two systems, more pairs than there are, or so few that they don't connect all
    systems.
    """
    every = np.array(list(combinations(range(systems), 2)), dtype=np.int64).reshape(-1, 2)
    if len(every) == 0:
        raise ConfigError(f"a tournament of {systems} systems: it takes at least two")
    if pairs is not None and not 1 <= pairs <= len(every):
        raise ConfigError(
            f"tournament.pairs={pairs}: {systems} systems make {len(every)} pairs; give at most that, or null for all"
        )
    k = len(every) if pairs is None else pairs
    rng = np.random.default_rng(seed)
    met = np.zeros(len(every), dtype=np.int64)
    fought = np.zeros(systems, dtype=np.int64)
    ahead = np.zeros(len(every), dtype=np.int64)  # how often a pair's smaller number was first, less the other way
    lead = np.zeros(systems, dtype=np.int64)  # how often a system was first, less how often it was second
    battles = []
    for question in range(questions):
        chosen: list[int] = []
        for _ in range(k):
            free = np.ones(len(every), dtype=bool)
            free[chosen] = False
            load = fought[every].sum(axis=1)
            best = np.lexsort((rng.random(len(every)), load, met, ~free))[0]
            chosen.append(int(best))
            met[best] += 1
            fought[every[best]] += 1
        for pair in sorted(chosen):
            i, j = every[pair]
            # The pair's own turn, then whoever of the two is behind, then a coin.
            turn = -int(ahead[pair]) or int(lead[j] - lead[i]) or int(rng.integers(2)) * 2 - 1
            first, second, sign = (i, j, 1) if turn > 0 else (j, i, -1)
            ahead[pair] += sign
            lead[first] += 1
            lead[second] -= 1
            battles.append((question, first, second))
    table = np.array(battles, dtype=np.int64).reshape(-1, 3)
    if len(groups(table[:, 1:], systems)) > 1:
        raise ConfigError(
            f"tournament.pairs={pairs}: too few to compare {systems} systems on {questions} questions (some would not "
            "meet, not even by way of others); raise it, or give null for all pairs"
        )
    return table
