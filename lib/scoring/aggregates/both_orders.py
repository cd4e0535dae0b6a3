"""Pairwise verdicts as MT-Bench counts them: who wins in both orders wins, else it is a tie.

Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", section 3.4; the win rate with ties as half
wins is the "adjusted" one of lm-sys/FastChat (fastchat/llm_judge/show_result.py). Rakuda's verdicts are counted so,
too.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from lib.scoring.aggregates.judgements import Judgements, hard
from lib.scoring.aggregates.means import MeanSums
from lib.scoring.probabilities import FloatArray


def conservative(judged: Judgements) -> FloatArray:
    """[n, 3] with 1 at A or B where both orders say so (or the only one), else at the tie; NaN without any."""
    ab, ba = map(hard, judged.orders)
    only = np.where(np.isnan(ab), ba, ab)
    agreed = np.where((ab == ba).all(axis=1, keepdims=True), ab, np.array([0.0, 0.0, 1.0]))
    both = ~(np.isnan(ab) | np.isnan(ba)).any(axis=1, keepdims=True)
    return np.where(both, agreed, only)


def both_orders(judged: Judgements) -> dict[str, Any]:
    """Wins, losses, ties and the win rate (ties as half) of each system; and how often both orders agree."""
    found = conservative(judged)
    ab, ba = map(hard, judged.orders)
    both = ~(np.isnan(ab) | np.isnan(ba)).any(axis=1)
    counts: dict[str, list[int]] = {}
    rates: dict[str, MeanSums] = {}
    for row in np.flatnonzero(~np.isnan(found).any(axis=1)):
        for side, name in enumerate(judged.names[row]):
            won, lost, tied = found[row, side], found[row, 1 - side], found[row, 2]
            counts[name] = [
                n + int(more) for n, more in zip(counts.get(name, [0, 0, 0]), (won, lost, tied), strict=True)
            ]
            rates.setdefault(name, MeanSums()).add(np.array([won + tied / 2]), [judged.clusters[row]])
    systems = {
        name: {
            **dict(zip(("wins", "losses", "ties"), counts[name], strict=True)),
            "win_rate": asdict(rates[name].mean().within(0, 1)),
        }
        for name in sorted(counts)
    }
    agree = float((ab[both] == ba[both]).all(axis=1).mean()) if both.any() else None
    return {"battles": int((~np.isnan(found).any(axis=1)).sum()), "orders_agree": agree, "systems": systems}
