"""A tournament's result as a table."""

import numpy as np

from lib.scoring.probabilities import IntArray
from lib.scoring.ratings import ELO, Ratings

Rows = tuple[list[str], list[list[str]]]


def ranking_table(result: Ratings, wins: IntArray) -> Rows:
    """Header and rows, best system first: wins and losses [s, s], rating with its 95 % interval (sandwich), and Elo.

    The interval is a dash where a single question says nothing about others. Elo's mean is 1000.
    """
    header = ["system", "wins", "losses", "rating", "95 %", "Elo"]
    low, high = result.sandwich.low, result.sandwich.high
    rows = [
        [
            result.names[i],
            f"{wins[i].sum():,}",
            f"{wins[:, i].sum():,}",
            f"{result.ratings[i]:+.2f}",
            "–" if np.isnan(low[i]) else f"{low[i]:+.2f} to {high[i]:+.2f}",
            f"{1000 + ELO * result.ratings[i]:.0f}",
        ]
        for i in result.order
    ]
    return header, rows
