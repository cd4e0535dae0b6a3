"""Arena-Hard's win rate against a baseline: each order is a game, and a strong verdict counts for several.

Li et al. 2024, "From Crowdsourced Data to High-Quality Benchmarks: Arena-Hard and BenchBuilder Pipeline"
(lmarena/arena-hard-auto: a strong verdict is three games). Published scores are win rates that a Bradley-Terry model
predicts, with ties as half wins. All games being against the baseline, each system has a parameter of its own, so that
the maximum of the likelihood predicts the weighted win rate itself.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from lib.scoring.aggregates.judgements import Judgements, against, baseline_of
from lib.scoring.aggregates.means import rate_of
from lib.scoring.probabilities import FloatArray

_SCALE, _START = 400, 1000  # of the published ratings, on Elo's scale


def arena_hard(judged: Judgements, baseline: str | None) -> dict[str, Any]:
    """Of each system: games, win rate with and without the weights, and its rating where the baseline has 1000.

    A label counts by its share. The rating is None for a system that has won or lost all: it would be infinite.
    Raises InputError as `baseline_of`.
    """
    name = baseline_of(judged, baseline)
    systems: dict[str, Any] = {}
    for system, own in against(judged, name).items():
        shares = np.concatenate([judged.ab[own.rows], judged.ba[own.rows]])
        clusters = own.clusters(judged) * 2
        first = np.concatenate([~own.is_b, own.is_b])  # whether the system is shown first
        asked = ~np.isnan(shares).any(axis=1)
        shares, first = shares[asked], first[asked]
        clusters = [cluster for cluster, there in zip(clusters, asked, strict=True) if there]
        weighted = shares * judged.weights
        rate = rate_of(_score(weighted, first, judged), clusters, weighted.sum(axis=1))
        plain = rate_of(_score(shares, first, judged), clusters)
        systems[system] = {
            "games": len(shares),
            "win_rate": asdict(plain),
            "weighted_win_rate": asdict(rate),
            "rating": None if rate.mean is None else _rating(rate.mean),
        }
    return {"baseline": name, "systems": systems}


def _score(shares: FloatArray, first: np.ndarray[Any, np.dtype[np.bool_]], judged: Judgements) -> FloatArray:
    """[games] of the system: its share of wins, and half of that of ties."""
    outcomes = shares @ judged.outcomes
    won = np.where(first, outcomes[:, 0], outcomes[:, 1])
    return np.asarray((won + outcomes[:, 2] / 2) / shares.sum(axis=1), dtype=np.float64)


def _rating(rate: float) -> float | None:
    return _START + _SCALE * float(np.log10(rate / (1 - rate))) if 0 < rate < 1 else None
