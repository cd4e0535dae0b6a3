"""Judged rows in questions, drawn from a population whose scores are known."""

from dataclasses import dataclass

import numpy as np

from lib.scoring.probabilities import swap_ab


@dataclass(frozen=True)
class Population:
    """Rows by question. rows: [questions], the places of each one's rows. ba: of the other order, biased."""

    probabilities: np.ndarray
    labels: np.ndarray
    ab: np.ndarray
    ba: np.ndarray
    rows: list[np.ndarray]

    def draw(self, questions, rng):
        """Places of rows, and the number of the question of each, of so many questions drawn with replacement."""
        drawn = rng.integers(0, len(self.rows), questions)
        places = [self.rows[one] for one in drawn]
        return np.concatenate(places), np.repeat(np.arange(questions), list(map(len, places)))


def population(questions=3_000, seed=0):
    """One to seven rows a question; how hard a question is, and which label it favours, its rows have in common."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 8, questions)
    question = np.repeat(np.arange(questions), sizes)
    n = len(question)
    common, sharp = rng.dirichlet([1, 1, 0.7], questions), rng.uniform(0.5, 3, questions)
    truth = 0.9 * common[question] + 0.1 * rng.dirichlet([1, 1, 1], n)
    labels = (rng.random((n, 1)) > truth.cumsum(axis=1)).sum(axis=1).clip(max=2)
    said = truth ** sharp[question, None] * rng.uniform(0.5, 1.5, (n, 3))
    p = said / said.sum(axis=1, keepdims=True)
    first = np.exp(rng.normal(0.2, 0.4, questions))[question, None] ** np.array([1, 0, 0])
    ab, ba = p * first, swap_ab(swap_ab(p) * first)
    ab, ba = (part / part.sum(axis=1, keepdims=True) for part in (ab, ba))
    ends = np.cumsum(sizes)
    return Population(p, labels, ab, ba, [np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)])
