"""Ratings of systems from votes between them, with 95 % intervals, ranges of ranks, and chances against each other.

A rating is a log-odds: in Davidson's model and in Rao and Kupper's the difference of two says how their wins compare;
in Bradley and Terry's half of each tie counts on either side. Times `POINTS` it is on Elo's scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lib.errors import ConfigError, InputError
from lib.scoring.probabilities import FloatArray, IntArray
from lib.scoring.ranking.covariance import bootstrap, jackknife, posterior, sandwich
from lib.scoring.ranking.elo import elo
from lib.scoring.ranking.existence import Extremes, any_ties, extremes, has_maximum, require_connected
from lib.scoring.ranking.newton import Likelihood, NoMaximum
from lib.scoring.ranking.outcomes import MODELS, RatingModel, probabilities
from lib.scoring.ranking.votes import Rows, Votes, distinct_rows

# Where the likelihood has no maximum (a system that never lost), the parameters get a Gaussian prior with a standard
# deviation of 3: whoever won all of 20 votes is rated as if it would win 81 of 82. Elsewhere there is no prior.
_RIDGE = 1 / 9

_FEW = 200  # clusters; of more, leaving one out takes long and changes little
_CERTAIN = 30.0  # log-odds at which a likelihood that still rises has no maximum


@dataclass(frozen=True)
class Estimate:
    """A parameter and its 95 % interval; low and high are NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Ratings:
    """Strengths of s systems.

    ratings: [s] log-odds; their mean is 0, or that of the anchor is. low, high: [s] 95 % intervals, of an anchor 0
    wide. rank_low, rank_high: [s] between which ranks a system is: 1 + how many are better than it, and s - how many
    are worse, as the 95 % intervals of the differences tell. All NaN where there are no intervals. tie: the tie
    parameter as of `outcomes`; None without one, or where there were no ties. tie_parameter: the same as it is written,
    nu or theta. coefficients: of the covariates. regularised: there was no maximum without a prior. votes, questions:
    how many count; questions is None where each vote is about another. counts: [s] votes of each system.
    """

    names: tuple[str, ...]
    model: RatingModel
    ratings: FloatArray
    low: FloatArray
    high: FloatArray
    rank_low: FloatArray
    rank_high: FloatArray
    tie: float | None
    tie_parameter: Estimate | None
    coefficients: Mapping[str, Estimate]
    regularised: bool
    extremes: Extremes
    votes: int
    ties: float
    questions: int | None
    counts: IntArray

    @property
    def order(self) -> IntArray:
        """[s] numbers of the systems, best first; equals in the order of `names`."""
        return np.asarray(np.argsort(-self.ratings, kind="stable"), dtype=np.int64)

    @property
    def outcomes(self) -> FloatArray:
        """[s, s, 3] probabilities that the row's system beats the column's, loses, ties; NaN on the diagonal."""
        found = probabilities(self.model, self.ratings[:, None] - self.ratings, self.tie)
        found[np.diag_indices(len(self.names))] = np.nan
        return found

    @property
    def win_rates(self) -> FloatArray:
        """[s, s] expected share of the row's system against the column's, a tie being half a win."""
        found = self.outcomes
        return np.asarray(found[..., 0] + found[..., 2] / 2)


def rate(votes: Votes, model: RatingModel, *, anchor: str | None = None, resamples: int = 0, seed: int = 0) -> Ratings:
    """Ratings by maximum likelihood, or Elo's.

    anchor: the system whose rating is 0. Intervals are of what is shown, ratings relative to the mean or to the anchor:
    Student's t times a standard error, from the covariance clustered by question (the jackknife's; of more than 200
    questions the sandwich) or, with resamples, from so many refits (two or more). Its degrees of freedom are the
    questions less 1, or what these and the refits less 1 leave. Where a prior was needed, the standard error is at
    least the posterior's. There are none for Elo, and none where all votes are about one question, which says nothing
    about others.

    Raises InputError where systems can't be compared, or a covariate can't be told from them; ConfigError for an anchor
    that isn't there.
    """
    if anchor is not None and anchor not in votes.names:
        raise ConfigError(f"leaderboard.anchor={anchor}: no such system; there are {', '.join(votes.names[:50])}")
    rows, s = distinct_rows(votes), len(votes.names)
    require_connected(votes.names, rows)
    centre = np.full(s, 1 / s) if anchor is None else np.eye(s)[votes.names.index(anchor)]
    if model is RatingModel.elo:
        return _ratings(votes, rows, model, elo(votes), None, centre, regularised=False)
    _require_told_apart(votes, rows, s)
    tied = MODELS[model].tie_at is not None and any_ties(rows)
    # Without ties both models with a tie parameter are Bradley and Terry's.
    used = MODELS[model if tied else RatingModel.bradley_terry]
    likelihood, best = _fitted(Likelihood(rows=rows, model=used, s=s, tied=tied))
    spread = _spread(likelihood, best, resamples, seed) if rows.clusters > 1 else None
    return _ratings(votes, rows, model, best, spread, centre, tied=tied, regularised=likelihood.ridge > 0)


def _fitted(likelihood: Likelihood) -> tuple[Likelihood, FloatArray]:
    """The likelihood, with a prior where it needs one, and its maximum."""
    if has_maximum(likelihood.rows, likelihood.s, tied=likelihood.tied):
        try:
            best = likelihood.maximum()
        except NoMaximum:
            pass  # a covariate decides all votes
        else:
            linear = best[: likelihood.rows.features.shape[1]]
            if np.abs(likelihood.rows.features @ linear).max() < _CERTAIN or linear.size == likelihood.s:
                return likelihood, best
    held = Likelihood(rows=likelihood.rows, model=likelihood.model, s=likelihood.s, tied=likelihood.tied, ridge=_RIDGE)
    return held, held.maximum()


@dataclass(frozen=True)
class _Spread:
    """Covariances [m, m] of parameters, of which the larger variance counts, and the t of a 95 % interval."""

    covariances: tuple[FloatArray, ...]
    t: float


def _spread(likelihood: Likelihood, best: FloatArray, resamples: int, seed: int) -> _Spread:
    from scipy.stats import t as student

    freedom = likelihood.rows.clusters - 1.0
    if resamples:
        freedom = 1 / (1 / freedom + 1 / (resamples - 1))
        covariance = bootstrap(likelihood, best, resamples, seed)
    elif likelihood.rows.clusters <= _FEW:
        covariance = jackknife(likelihood, best)
    else:
        covariance = sandwich(likelihood, best)
    found = (covariance, posterior(likelihood, best)) if likelihood.ridge else (covariance,)
    return _Spread(found, float(student.ppf(0.975, freedom)))


def _require_told_apart(votes: Votes, rows: Rows, s: int) -> None:
    """Raise InputError for a covariate that differences of ratings, or other covariates, could stand for."""
    if not votes.covariates:
        return
    information = (rows.features.T @ rows.features).toarray()
    information[:s, :s] += np.trace(information[:s, :s]) / s**2
    size = np.sqrt(np.diag(information))
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    if values[0] < 1e-9:
        names = list(votes.covariates)
        name = names[int(np.argmax(np.abs(vectors[s:, 0])))]
        raise InputError(
            f"the effect of {name} can't be told from the ratings, or from that of another covariate; leave it out, or "
            "get votes in which it varies while the systems are the same"
        )


def _ratings(
    votes: Votes,
    rows: Rows,
    model: RatingModel,
    best: FloatArray,
    spread: _Spread | None,
    centre: FloatArray,
    *,
    tied: bool = False,
    regularised: bool,
) -> Ratings:
    """Ratings relative to a centre [s], weights that sum to 1, with what the spread of the parameters says."""
    s, c = len(votes.names), len(votes.covariates)
    ratings = best[:s] - centre @ best[:s]
    error, apart, beside = np.full(s, np.nan), np.full((s, s), np.nan), np.full(len(best) - s, np.nan)
    if spread is not None:
        half, covariances = spread.t, spread.covariances
        error = half * np.sqrt(np.max([_of_contrasts(cov, np.eye(s) - centre) for cov in covariances], axis=0))
        apart = half * np.sqrt(np.max([_of_differences(cov[:s, :s]) for cov in covariances], axis=0))
        beside = half * np.sqrt(np.max([np.diag(cov)[s:] for cov in covariances], axis=0))
    worse = (ratings[:, None] - ratings > apart).sum(axis=1)  # no NaN is more than another
    better = (ratings - ratings[:, None] > apart).sum(axis=1)
    unknown = np.isnan(error)
    parameters = [Estimate(*map(float, (v, v - h, v + h))) for v, h in zip(best[s:], beside, strict=True)]
    tie = parameters[c] if tied else None
    return Ratings(
        names=votes.names,
        model=model,
        ratings=ratings,
        low=ratings - error,
        high=ratings + error,
        rank_low=np.where(unknown, np.nan, 1 + better),
        rank_high=np.where(unknown, np.nan, s - worse),
        tie=None if tie is None else tie.value,
        tie_parameter=None if tie is None else Estimate(*np.exp([tie.value, tie.low, tie.high]).tolist()),
        coefficients=dict(zip(votes.covariates, parameters[:c], strict=False)),
        regularised=regularised,
        extremes=extremes(rows, s),
        votes=len(rows.row),
        ties=float(rows.happened[:, 2].sum()),
        questions=None if votes.question is None else rows.clusters,
        counts=votes.counts(),
    )


def _of_contrasts(covariance: FloatArray, contrasts: FloatArray) -> FloatArray:
    """[k] variances of contrasts [k, s] of the ratings, which are the first of the parameters."""
    s = contrasts.shape[1]
    return np.asarray(np.maximum(((contrasts @ covariance[:s, :s]) * contrasts).sum(axis=1), 0))


def _of_differences(covariance: FloatArray) -> FloatArray:
    """[s, s] variances of the differences of ratings."""
    own = np.diag(covariance)
    return np.asarray(np.maximum(own[:, None] + own - 2 * covariance, 0))
