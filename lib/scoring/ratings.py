"""Ratings of systems from battles between them: counts of wins, Bradley-Terry and Davidson, with 95 % intervals.

Both models are softmax regressions of a battle's outcome, linear in the parameters: the likelihood has one maximum.
A rating is a log-odds and their mean is 0: in Davidson's model the difference of two ratings is ln(P(win) / P(loss));
in Bradley-Terry's it is the same with half of each tie on either side. Times `ELO` it is on Elo's scale.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.errors import InputError
from lib.scoring.graph import components, groups
from lib.scoring.metrics import normalise, verdicts
from lib.scoring.newton import maximise, sandwich, scores
from lib.scoring.probabilities import FloatArray, IntArray, swap_ab

ELO = 400 / np.log(10)
"""Points of Elo for one unit of log-odds."""

# Where the likelihood has no maximum (a system that never lost), the parameters get a Gaussian prior with a standard
# deviation of 3: whoever won all of 20 battles is rated as if it would win 81 of 82. Elsewhere there is no prior.
_RIDGE = 1 / 9

# What all battles of a pair add up to in favour of one side, below which it has not won: probabilities are never 0.
_NO_WIN = 1e-3


@dataclass(frozen=True, kw_only=True)
class Battles:
    """n battles between s systems.

    names: [s], each once. first, second: [n] numbers of the two systems, never the same. outcomes: [n, 3] of first
    wins, second wins, tie: probabilities (then a battle counts in part for each), or 1 at the verdict; NaN where there
    is none. question: [n] what was asked: battles about one question are not independent of each other.
    """

    names: tuple[str, ...]
    first: IntArray
    second: IntArray
    outcomes: FloatArray
    question: IntArray

    def __post_init__(self) -> None:
        n = len(self.first)
        assert len(set(self.names)) == len(self.names)
        assert self.outcomes.shape == (n, 3)
        assert len(self.second) == len(self.question) == n
        assert (self.first != self.second).all()

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        """[n] whether a battle has an outcome."""
        return np.asarray(~np.isnan(self.outcomes).any(axis=1))


@dataclass(frozen=True)
class Interval:
    """95 % intervals of s ratings; NaN where there is only one question, which says nothing about others."""

    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, kw_only=True)
class Ratings:
    """Strengths of s systems.

    ratings: [s] log-odds with mean 0. nu: Davidson's tie parameter (two equal systems tie with nu / (2 + nu)), None
    without one. sandwich: from the covariance clustered by question, with Student's t. bootstrap: percentiles over
    reweighted questions; with few of them it is too narrow (in simulations 12 questions gave 89 % instead of 95 %, and
    the sandwich 96 %). regularised: there was no maximum without a prior (see `_RIDGE`).
    battles, questions: how many the ratings rest on.
    """

    names: tuple[str, ...]
    ratings: FloatArray
    sandwich: Interval
    bootstrap: Interval
    nu: float | None
    regularised: bool
    battles: int
    questions: int

    @property
    def order(self) -> IntArray:
        """[s] numbers of the systems, best first; equals in the order of `names`."""
        return np.asarray(np.argsort(-self.ratings, kind="stable"), dtype=np.int64)


def wins(battles: Battles) -> IntArray:
    """[s, s] how often the row's system beat the column's: the verdict is the most probable outcome.

    Ties count for nobody; neither do battles in which two outcomes are most probable.
    """
    scored = battles.scored
    first, second = battles.first[scored], battles.second[scored]
    verdict = verdicts(normalise(battles.outcomes[scored])) == 1
    matrix = np.zeros((len(battles.names), len(battles.names)), dtype=np.int64)
    np.add.at(matrix, (first[verdict[:, 0]], second[verdict[:, 0]]), 1)
    np.add.at(matrix, (second[verdict[:, 1]], first[verdict[:, 1]]), 1)
    return matrix


def bradley_terry(battles: Battles, *, resamples: int = 1000, seed: int = 0) -> Ratings:
    """Maximum likelihood of P(i beats j) = 1 / (1 + e^(r_j - r_i)), a tie being half a win for both.

    Raises InputError where systems cannot be compared: the battles fall apart into groups that never met.
    Bradley and Terry, Rank analysis of incomplete block designs (Biometrika 1952).
    """
    return _rate(battles, resamples, seed, ties=False)


def davidson(battles: Battles, *, resamples: int = 1000, seed: int = 0) -> Ratings:
    """Maximum likelihood of P(i) : P(j) : P(tie) = e^(d/2) : e^(-d/2) : nu, with d = r_i - r_j.

    Raises InputError as `bradley_terry` does.
    Davidson, On extending the Bradley-Terry model to accommodate ties (JASA 1970).
    """
    return _rate(battles, resamples, seed, ties=True)


def _rate(battles: Battles, resamples: int, seed: int, *, ties: bool) -> Ratings:
    from scipy.stats import t as student

    s = len(battles.names)
    pairs, counts = _counts(battles, ties=ties)
    _refuse_groups(battles.names, pairs)
    features = _features(pairs, s, ties=ties)
    q, shape = counts.shape[0], features.shape[:2]
    total = counts.sum(axis=0).reshape(shape)
    regularised = not _has_maximum(total, pairs, s)
    ridge = _RIDGE if regularised else 0.0
    best = maximise(features, total[None], s, ridge)[0]
    by_error = by_weight = Interval(np.full(s, np.nan), np.full(s, np.nan))
    if q > 1:
        residuals = counts @ scores(features, best).reshape(counts.shape[1], -1)
        error = np.sqrt(np.diag(sandwich(features, total, residuals, best, s, ridge))[:s])
        half = student.ppf(0.975, q - 1) * error
        by_error = Interval(best[:s] - half, best[:s] + half)
        # Rubin's Bayesian bootstrap (1981): each question keeps some weight, so that no resample falls apart.
        rng = np.random.default_rng(seed)
        resampled = np.stack([(q * rng.dirichlet(np.ones(q))) @ counts for _ in range(resamples)])
        refitted = maximise(features, resampled.reshape(resamples, *shape), s, ridge)[:, :s]
        by_weight = Interval(*np.percentile(refitted, (2.5, 97.5), axis=0))
    return Ratings(
        names=battles.names,
        ratings=best[:s],
        sandwich=by_error,
        bootstrap=by_weight,
        nu=float(np.exp(best[s])) if ties else None,
        regularised=regularised,
        battles=int(battles.scored.sum()),
        questions=q,
    )


def _counts(battles: Battles, *, ties: bool) -> tuple[IntArray, Any]:
    """The pairs [p, 2] of systems that met, smaller number first, and what happened in each question: [q, p * k].

    The k = 3 outcomes of a pair: its first system won, its second won, tie; without ties k = 2. The matrix is sparse.
    """
    from scipy.sparse import csr_array

    scored = battles.scored
    first, second, outcomes = battles.first[scored], battles.second[scored], normalise(battles.outcomes[scored])
    turned = first > second
    outcomes[turned] = swap_ab(outcomes[turned])
    if not ties:
        outcomes = outcomes[:, :2] + outcomes[:, 2:] / 2
    pairs, pair = np.unique(np.sort(np.stack([first, second], axis=1), axis=1), axis=0, return_inverse=True)
    questions, question = np.unique(battles.question[scored], return_inverse=True)
    k = outcomes.shape[1]
    column = pair.reshape(-1, 1) * k + np.arange(k)
    shape = (len(questions), len(pairs) * k)
    return pairs, csr_array((outcomes.reshape(-1), (np.repeat(question, k), column.reshape(-1))), shape=shape)


def _features(pairs: IntArray, s: int, *, ties: bool) -> FloatArray:
    """[p, k, m] such that the logits of a pair's outcomes are features @ parameters (ratings, then ln nu)."""
    rows = np.arange(len(pairs))
    features = np.zeros((len(pairs), 2 + ties, s + ties))
    features[rows, 0, pairs[:, 0]] = features[rows, 1, pairs[:, 1]] = 0.5
    features[rows, 0, pairs[:, 1]] = features[rows, 1, pairs[:, 0]] = -0.5
    if ties:
        features[:, 2, s] = 1
    return features


def _has_maximum(total: FloatArray, pairs: IntArray, s: int) -> bool:
    """Whether the likelihood of the counts [p, k] has a maximum at finite parameters.

    Bradley-Terry: no group of systems has won everything against the others (Ford 1957). Davidson: the same, a tie
    being as good as a win for both, and there are ties, and some system has beaten itself by way of others, without
    which all wins could become certain together.
    """
    happened = total > _NO_WIN
    beaten = np.concatenate([pairs[happened[:, 0]], pairs[happened[:, 1]][:, ::-1]])
    if total.shape[1] == 2:
        return len(np.unique(components(beaten, s, directed=True))) == 1
    tied = pairs[happened[:, 2]]
    held = np.concatenate([beaten, tied, tied[:, ::-1]])
    cycle = len(np.unique(components(beaten, s, directed=True))) < s
    return len(tied) > 0 and cycle and len(np.unique(components(held, s, directed=True))) == 1


def _refuse_groups(names: tuple[str, ...], pairs: IntArray) -> None:
    found = groups(pairs, len(names))
    if len(found) > 1:
        listed = " | ".join(", ".join(names[i] for i in group) for group in found)
        raise InputError(
            f"these groups of systems never met in a scored battle: {listed}; "
            "judge battles between the groups, or rate each group by itself"
        )
