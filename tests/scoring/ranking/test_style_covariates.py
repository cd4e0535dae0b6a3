import numpy as np
from sklearn.linear_model import LogisticRegression

from lib.scoring.ranking.outcomes import RatingModel
from lib.scoring.ranking.ratings import rate
from lib.scoring.ranking.style_covariates import style_covariates
from lib.scoring.ranking.votes import Votes


def test_counts_are_shares_of_both_answers_standardised():
    a, b = np.array([3.0, 0, 5, 1]), np.array([1.0, 0, 0, 4])
    found = style_covariates({"length": (a, b), "bold": (np.zeros(4), np.zeros(4))})
    assert list(found) == ["length"]  # the other is the same in all votes
    share = np.array([0.5, 0, 1, -0.6])
    np.testing.assert_allclose(found["length"], (share - share.mean()) / share.std())
    assert style_covariates({"length": (np.zeros(0), np.zeros(0))}) == {}


def test_style_control_is_a_logistic_regression_as_lmarena_makes_it():
    rng = np.random.default_rng(0)
    s, n = 5, 3000
    first = rng.integers(0, s, n)
    second = (first + rng.integers(1, s, n)) % s
    counts = {name: (rng.poisson(9, n) * 1.0, rng.poisson(9, n) * 1.0) for name in ("length", "headers")}
    style = style_covariates(counts)
    z = np.linspace(1, -1, s)[first] - np.linspace(1, -1, s)[second] + 0.5 * style["length"] - 0.2 * style["headers"]
    won = rng.random(n) < 1 / (1 + np.exp(-z))
    tied = rng.random(n) < 0.2
    outcomes = np.where(tied[:, None], [0, 0, 1], np.eye(3)[np.where(won, 0, 1)])
    votes = Votes(names=tuple("abcde"), first=first, second=second, outcomes=outcomes, covariates=style)
    fit = rate(votes, RatingModel.bradley_terry)

    design = np.zeros((n, s + 2))
    design[np.arange(n), first], design[np.arange(n), second] = 1, -1
    design[:, s:] = np.stack(list(style.values()), axis=1)
    share = outcomes[:, 0] + outcomes[:, 2] / 2
    oracle = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000).fit(
        np.concatenate([design, design]), np.repeat([1, 0], n), np.concatenate([share, 1 - share])
    )
    theirs = oracle.coef_[0]
    np.testing.assert_allclose(fit.ratings, theirs[:s] - theirs[:s].mean(), atol=1e-4)
    np.testing.assert_allclose([c.value for c in fit.coefficients.values()], theirs[s:], atol=1e-4)
    assert fit.coefficients["length"].low > 0
