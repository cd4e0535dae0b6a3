"""How sure fitted parameters are: covariances between them, by the questions that were asked."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lib.scoring.probabilities import FloatArray, IntArray
from lib.scoring.ranking.newton import Likelihood

_VOTES = 1 << 17  # that are looked at together
_REGULAR = 1e-9  # of a mean eigenvalue: a matrix with a smaller pivot tells nothing of some difference


def posterior(likelihood: Likelihood, best: FloatArray) -> FloatArray:
    """[m, m] the inverse information, which is the covariance where the model and its prior hold."""
    return np.asarray(np.linalg.inv(likelihood.derivatives(best)[1]), dtype=np.float64)


def sandwich(likelihood: Likelihood, best: FloatArray) -> FloatArray:
    """[m, m] from the scores of q independent clusters, with the factor q / (q - 1).

    Liang and Zeger, Longitudinal data analysis using generalized linear models (Biometrika 1986). It holds where votes
    about one question depend on each other, and where outcomes are probabilities.
    """
    bread, q = posterior(likelihood, best), likelihood.rows.clusters
    meat = sum((scores.T @ scores).toarray() for scores in _scores(likelihood, best))
    return np.asarray(bread @ meat @ bread * q / (q - 1), dtype=np.float64)


def jackknife(likelihood: Likelihood, best: FloatArray) -> FloatArray:
    """[m, m] from what each of q clusters has moved: one Newton step is the refit without it.

    CV3 in MacKinnon, Nielsen and Webb, Fast and reliable jackknife and bootstrap methods for cluster-robust inference
    (2023). The sandwich is too narrow where there are few clusters, and parameters to which some of them matter much. A
    cluster without which the others can't be compared counts as in the sandwich.
    """
    rows, q = likelihood.rows, likelihood.rows.clusters
    whole = likelihood.derivatives(best)[1]
    total = np.zeros_like(whole)
    order = np.argsort(rows.cluster, kind="stable")
    for votes in np.split(order, np.flatnonzero(np.diff(rows.cluster[order])) + 1):
        own = replace(rows, features=rows.features[rows.row[votes]], counts=rows.outcomes[votes])
        score, information = replace(likelihood, rows=own).of_votes(best)
        moved = _solution(whole - information, score)
        if moved is None:
            moved = np.asarray(np.linalg.solve(whole, score), dtype=np.float64)
        total += np.outer(moved, moved)
    return np.asarray(total * (q - 1) / q, dtype=np.float64)


def bootstrap(likelihood: Likelihood, best: FloatArray, resamples: int, seed: int) -> FloatArray:
    """[m, m] from refits with other weights of the q questions, which are the same for all votes of a question.

    Weights are drawn as by Rubin, The Bayesian bootstrap (1981): each question keeps some, so that no resample falls
    apart. The factor (q + 1) / (q - 1) makes it as wide as the spread of q questions says.
    """
    from scipy.sparse import csr_array

    rows, q = likelihood.rows, likelihood.rows.clusters
    place = (rows.row[:, None] * 3 + np.arange(3)).reshape(-1)
    shape = (q, len(rows.counts) * 3)
    counts = csr_array((rows.outcomes.reshape(-1), (np.repeat(rows.cluster, 3), place)), shape=shape)
    rng = np.random.default_rng(seed)
    mean, total = np.zeros(len(best)), np.zeros((len(best), len(best)))
    for _ in range(resamples):
        weight = rng.standard_exponential(q)
        resampled = (weight * (q / weight.sum())) @ counts
        moved = likelihood.counting(resampled.reshape(-1, 3)).maximum(best.copy()) - best
        mean += moved / resamples
        total += np.outer(moved, moved)
    spread = (total - resamples * np.outer(mean, mean)) / (resamples - 1)
    return np.asarray(spread * (q + 1) / (q - 1), dtype=np.float64)


def _solution(matrix: FloatArray, vector: FloatArray) -> FloatArray | None:
    """x of matrix @ x = vector; None where the matrix is not, or hardly, positive definite."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        factor, lower = cho_factor(matrix)
    except LinAlgError:
        return None
    least = factor.diagonal().min() ** 2
    return None if least < _REGULAR * np.trace(matrix) / len(matrix) else np.asarray(cho_solve((factor, lower), vector))


def _scores(likelihood: Likelihood, best: FloatArray) -> Iterator[Any]:
    """[q, m] gradient of the log-likelihood of each cluster, sparse, some thousands of clusters at a time."""
    from scipy.sparse import csr_array, hstack

    rows, curves = likelihood.rows, likelihood.curves(best)
    for part in _whole_clusters(rows.cluster):
        first, last = rows.cluster[part[0]], rows.cluster[part[-1]]
        cluster, row, outcomes = rows.cluster[part] - first, rows.row[part], rows.outcomes[part]
        shape = (last - first + 1, len(rows.counts))
        scores = csr_array(((outcomes * curves.z[row]).sum(axis=1), (cluster, row)), shape=shape) @ rows.features
        if likelihood.tied:
            by_tie = np.bincount(cluster, (outcomes * curves.t[row]).sum(axis=1))
            scores = hstack([scores, csr_array(by_tie[:, None])], format="csr")
        yield scores


def _whole_clusters(cluster: IntArray) -> Iterator[IntArray]:
    """Numbers of votes in the order of their clusters, in parts that end with one."""
    order = np.argsort(cluster, kind="stable")
    ordered, start = cluster[order], 0
    while start < len(order):
        last = ordered[min(start + _VOTES, len(order)) - 1]
        stop = int(np.searchsorted(ordered, last, side="right"))
        yield order[start:stop]
        start = stop
