"""How sure fitted parameters are: covariances between them, by the questions that were asked."""

from typing import Any

import numpy as np

from lib.scoring.probabilities import FloatArray
from lib.scoring.ranking.newton import Likelihood


def posterior(likelihood: Likelihood, best: FloatArray) -> FloatArray:
    """[m, m] the inverse information, which is the covariance where the model and its prior hold."""
    return np.asarray(np.linalg.inv(likelihood.derivatives(best)[1]), dtype=np.float64)


def sandwich(likelihood: Likelihood, best: FloatArray) -> FloatArray:
    """[m, m] from the scores of q independent clusters, with the factor q / (q - 1).

    Liang and Zeger, Longitudinal data analysis using generalized linear models (Biometrika 1986). It holds where votes
    about one question depend on each other, and where outcomes are probabilities.
    """
    bread, scores = posterior(likelihood, best), _scores(likelihood, best)
    q = likelihood.rows.clusters
    meat = (scores.T @ scores).toarray()
    return np.asarray(bread @ meat @ bread * q / (q - 1), dtype=np.float64)


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


def _scores(likelihood: Likelihood, best: FloatArray) -> Any:
    """[q, m] gradient of the log-likelihood of each cluster, sparse."""
    from scipy.sparse import csr_array, hstack

    rows, curves = likelihood.rows, likelihood.curves(best)
    slope = (rows.outcomes * curves.z[rows.row]).sum(axis=1)
    by_row = csr_array((slope, (rows.cluster, rows.row)), shape=(rows.clusters, len(rows.counts)))
    scores = by_row @ rows.features
    if not likelihood.tied:
        return scores
    by_tie = np.bincount(rows.cluster, (rows.outcomes * curves.t[rows.row]).sum(axis=1), minlength=rows.clusters)
    return hstack([scores, csr_array(by_tie[:, None])], format="csr")
