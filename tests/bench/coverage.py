"""How often 95 % intervals of ratings hold the truth, on data drawn from known strengths.

python -m tests.bench.coverage [DATA_SETS]

30 systems from 1.5 to -1.5 (log-odds) and 40 questions, with all pairs, 60 or 15 pairs a question, each model on data
of its own kind; with a position bias of 0.2, and with questions that favour systems (then the truth is what very many
questions give). Shown are the mean share over all systems, those of the best and worst of 30 (which scatter by chance),
and that of the position bias.
"""

import sys
from dataclasses import dataclass

import numpy as np

from lib.scoring.probabilities import FloatArray
from lib.scoring.ranking.outcomes import RatingModel
from lib.scoring.ranking.ratings import rate
from tests.scoring.ranking.drawing import drawn

STRENGTHS = np.linspace(1.5, -1.5, 30)
TIES = {RatingModel.bradley_terry: 0.5, RatingModel.davidson: 0.6, RatingModel.rao_kupper: 1.6}
QUESTIONS = 40
POSITION = 0.2


@dataclass(frozen=True)
class Case:
    """pairs: a question; None: all. spread: of a question's favour. anchored: relative to the first system. resamples:
    of the bootstrap; 0: the formula. few: a fraction of the data sets, since they take long."""

    name: str
    pairs: int | None
    spread: float = 0.0
    anchored: bool = False
    resamples: int = 0
    few: float = 1.0


CASES = (
    Case("all pairs", None),
    Case("60 pairs", 60),
    Case("15 pairs", 15),
    Case("60 pairs, questions favour systems", 60, spread=0.5),
    Case("60 pairs, anchored", 60, anchored=True),
    Case("60 pairs, 100 refits", 60, resamples=100, few=0.25),
)


def main() -> None:
    """Print a table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print("| data | model | data sets | mean | lowest | highest | position |\n|---|---|---|---|---|---|---|")
    for case in CASES:
        for model in TIES:
            count = max(int(runs * case.few), 1)
            inside, position = covered(case, model, count)
            shares = f"{inside.mean():.1%} | {inside.min():.1%} | {inside.max():.1%} | {position:.1%}"
            print(f"| {case.name} | {model.value} | {count} | {shares} |", flush=True)


def covered(case: Case, model: RatingModel, runs: int) -> tuple[FloatArray, float]:
    """[s] share of data sets in which each system's interval held the truth; and that of the position bias."""
    truth, bias = STRENGTHS, POSITION
    if case.spread:
        many = drawn(
            model, STRENGTHS, 40_000, np.random.default_rng(runs), pairs=60, tie=TIES[model], position=bias,
            spread=case.spread,
        )  # fmt: skip
        found = rate(many, model)
        truth, bias = found.ratings, found.coefficients["position"].value
    if case.anchored:
        truth = truth - truth[0]
    inside, positions = np.zeros(len(truth)), 0
    for seed in range(runs):
        data = drawn(
            model, STRENGTHS, QUESTIONS, np.random.default_rng(seed), pairs=case.pairs, tie=TIES[model],
            position=POSITION, spread=case.spread,
        )  # fmt: skip
        anchor = data.names[0] if case.anchored else None
        fit = rate(data, model, anchor=anchor, resamples=case.resamples, seed=seed)
        inside += (fit.low <= truth) & (truth <= fit.high)
        position = fit.coefficients["position"]
        positions += position.low <= bias <= position.high
    return (inside / runs)[1 if case.anchored else 0 :], positions / runs


if __name__ == "__main__":
    main()
