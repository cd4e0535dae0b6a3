"""Elo's ratings, vote after vote: for comparison, since they depend on the order of the votes and have no interval."""

from math import exp

import numpy as np

from lib.scoring.metrics import normalise
from lib.scoring.probabilities import FloatArray
from lib.scoring.ranking.votes import Votes

K = 4.0
"""Points of Elo by which an expected loser who wins rises at most: LMArena's."""
POINTS = 400 / np.log(10)
"""Points of Elo for one unit of log-odds."""


def elo(votes: Votes) -> FloatArray:
    """[s] ratings as log-odds, from 0 on: each vote moves both systems by K times what was not expected of it.

    A tie is half a win; a vote of weight w moves them w times as far.
    Elo, The Rating of Chessplayers (1978).
    """
    scored = votes.scored
    outcomes = normalise(votes.outcomes[scored])
    won = (outcomes[:, 0] + outcomes[:, 2] / 2).tolist()
    step = np.full(len(won), K / POINTS) if votes.weight is None else votes.weight[scored] * (K / POINTS)
    ratings = [0.0] * len(votes.names)
    for i, j, result, size in zip(
        votes.first[scored].tolist(), votes.second[scored].tolist(), won, step.tolist(), strict=True
    ):
        moved = size * (result - 1 / (1 + exp(ratings[j] - ratings[i])))
        ratings[i] += moved
        ratings[j] -= moved
    return np.array(ratings)
