"""Votes between systems, and the few different rows that their likelihood is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.scoring.metrics import normalise, verdicts
from lib.scoring.probabilities import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class Votes:
    """n votes between s systems.

    names: [s], each once. first, second: [n] numbers of the two systems, never the same; first is the one that was
    shown first. outcomes: [n, 3] of first wins, second wins, tie: probabilities (then a vote counts in part for each),
    or 1 at the verdict; NaN where there is none. weight: [n], not negative; a vote of weight 0 counts for nothing.
    question: [n] what was asked, as numbers: votes about one question are not independent of each other; None: each
    vote is about another. covariates: name -> [n], what else adds to the log-odds of the first against the second.
    """

    names: tuple[str, ...]
    first: IntArray
    second: IntArray
    outcomes: FloatArray
    weight: FloatArray | None = None
    question: IntArray | None = None
    covariates: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.first)
        assert len(set(self.names)) == len(self.names)
        assert self.outcomes.shape == (n, 3)
        assert len(self.second) == n
        assert (self.first != self.second).all()
        for column in (self.weight, self.question, *self.covariates.values()):
            assert column is None or len(column) == n
        assert self.weight is None or (np.isfinite(self.weight).all() and (self.weight >= 0).all())
        assert all(np.isfinite(column).all() for column in self.covariates.values())

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        """[n] whether a vote counts."""
        there = ~np.isnan(self.outcomes).any(axis=1)
        return np.asarray(there if self.weight is None else there & (self.weight > 0))

    def counts(self) -> IntArray:
        """[s] how many votes that count each system is in."""
        scored = self.scored
        s = len(self.names)
        return np.bincount(self.first[scored], minlength=s) + np.bincount(self.second[scored], minlength=s)


def wins(votes: Votes) -> IntArray:
    """[s, s] how often the row's system beat the column's: the verdict is the most probable outcome.

    Ties count for nobody; neither do votes in which two outcomes are most probable. Weights don't count.
    """
    scored = votes.scored
    first, second = votes.first[scored], votes.second[scored]
    verdict = verdicts(normalise(votes.outcomes[scored])) == 1
    s = len(votes.names)
    ours, theirs = verdict[:, 0], verdict[:, 1]
    winner, loser = np.concatenate([first[ours], second[theirs]]), np.concatenate([second[ours], first[theirs]])
    return np.bincount(winner * s + loser, minlength=s * s).reshape(s, s)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The u different rows of n votes that count: equal pair and equal covariates are one row.

    features: [u, s + c], sparse: 1 and -1 at the two systems (the smaller number first), then the covariates; times the
    parameters, it is the log-odds z. pairs: [u, 2]. counts: [u, 3] weight of each outcome: that of a vote is 1 in the
    mean. happened: [u, 3] the same without weights. row: [n] of each vote, outcomes: [n, 3] of it, weight included, in
    terms of the row's first. cluster: [n] number of its question, of `clusters`.
    """

    features: Any
    pairs: IntArray
    counts: FloatArray
    happened: FloatArray
    row: IntArray
    outcomes: FloatArray
    cluster: IntArray
    clusters: int

    @property
    def total(self) -> float:
        """The weight of all votes, which is their number."""
        return float(len(self.row))


def distinct_rows(votes: Votes) -> Rows:
    """The different rows of votes. Covariates change their sign with the side that is first, as log-odds do."""
    scored: Any = votes.scored
    if scored.all():
        scored = slice(None)  # no copies
    first, second, s = votes.first[scored], votes.second[scored], len(votes.names)
    turned = first > second
    outcomes = normalise(votes.outcomes[scored])
    outcomes[turned, :2] = outcomes[turned, 1::-1]
    columns = [np.where(turned, -column[scored], column[scored]) for column in votes.covariates.values()]
    row, where = _numbered([np.minimum(first, second) * s + np.maximum(first, second), *columns])
    u = len(where)
    happened = _sums(row, outcomes, u)
    counts = happened
    if votes.weight is not None:
        weight = votes.weight[scored]
        outcomes *= (weight / weight.mean())[:, None]
        counts = _sums(row, outcomes, u)
    if votes.question is None:
        cluster, clusters = np.arange(len(row)), len(row)
    else:
        questions, cluster = np.unique(votes.question[scored], return_inverse=True)
        clusters = len(questions)
    pairs = np.sort(np.stack([first[where], second[where]], axis=1), axis=1)
    return Rows(
        features=_features(pairs, [column[where] for column in columns], s),
        pairs=pairs,
        counts=counts,
        happened=happened,
        row=row,
        outcomes=outcomes,
        cluster=cluster,
        clusters=clusters,
    )


def _numbered(columns: list[npt.NDArray[Any]]) -> tuple[IntArray, IntArray]:
    """[n] the number of each row among the different ones, and [u] where each of these stands first."""
    code = np.zeros(len(columns[0]), np.int64)
    where = code[:0]
    for column in columns:
        values, number = np.unique(column, return_inverse=True)
        _, where, code = np.unique(code * len(values) + number, return_index=True, return_inverse=True)
    return code, where


def _sums(row: IntArray, outcomes: FloatArray, u: int) -> FloatArray:
    return np.stack([np.bincount(row, column, minlength=u) for column in outcomes.T], axis=1)


def _features(pairs: IntArray, columns: list[FloatArray], s: int) -> Any:
    from scipy.sparse import csr_array

    u, c = len(pairs), len(columns)
    values = np.column_stack([np.ones(u), -np.ones(u), *columns])
    places = np.column_stack([pairs, np.broadcast_to(np.arange(s, s + c), (u, c))])
    starts = np.arange(0, (2 + c) * u + 1, 2 + c)
    return csr_array((values.reshape(-1), places.reshape(-1), starts), shape=(u, s + c))
