"""Votes for tests: written down, or drawn between systems of known strengths."""

from itertools import combinations

import numpy as np

from lib.scoring.ranking.outcomes import RatingModel
from lib.scoring.ranking.votes import Votes

A, B, TIE = 0, 1, 2


def votes(rows, s, question=None, weight=None, **covariates):
    """rows: (first, second, outcome as a class or three probabilities)."""
    first, second, outcomes = zip(*rows, strict=True)
    outcomes = [np.eye(3)[o] if isinstance(o, int) else np.asarray(o, dtype=float) for o in outcomes]
    return Votes(
        names=tuple("abcdefghij"[:s]),
        first=np.array(first),
        second=np.array(second),
        outcomes=np.array(outcomes),
        question=None if question is None else np.array(question),
        weight=None if weight is None else np.array(weight, dtype=float),
        covariates={name: np.array(column, dtype=float) for name, column in covariates.items()},
    )


def outcome_probabilities(model, z, tie):
    """[n, 3], from each model's own paper. tie: nu or theta; in Bradley-Terry's, ties leave the half-wins as they
    are."""
    if model is RatingModel.davidson:
        odds = np.stack([np.exp(z / 2), np.exp(-z / 2), np.full(len(z), tie)], axis=1)
        return odds / odds.sum(axis=1, keepdims=True)
    if model is RatingModel.rao_kupper:
        first, second = 1 / (1 + tie * np.exp(-z)), 1 / (1 + tie * np.exp(z))
        return np.stack([first, second, 1 - first - second], axis=1)
    first = 1 / (1 + np.exp(-z))
    tied = tie * np.minimum(first, 1 - first)
    return np.stack([first - tied / 2, 1 - first - tied / 2, tied], axis=1)


def drawn(model, strengths, questions, rng, *, pairs=None, tie=0.6, position=0.0, spread=0.0, voters=1):
    """So many pairs (None: all) meet in each question, in a random order.

    position: log-odds of the first. voters: votes of each of these pairs. spread: of a normal by which a question
    favours each system.
    """
    s = len(strengths)
    every = np.array(list(combinations(range(s), 2)))
    k = len(every) if pairs is None else pairs
    who = np.concatenate([every[rng.choice(len(every), k, replace=False)] for _ in range(questions)])
    who = np.repeat(who, voters, axis=0)
    turned = rng.random(len(who)) < 0.5
    who[turned] = who[turned][:, ::-1]
    question = np.repeat(np.arange(questions), k * voters)
    favoured = strengths + rng.normal(0, spread, (questions, s))
    z = favoured[question, who[:, 0]] - favoured[question, who[:, 1]] + position
    p = outcome_probabilities(model, z, tie)
    outcome = (rng.random((len(z), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=2)
    return Votes(
        names=tuple(f"m{i}" for i in range(s)),
        first=who[:, 0],
        second=who[:, 1],
        outcomes=np.eye(3)[outcome],
        question=question,
        covariates={"position": np.ones(len(z))} if position else {},
    )
