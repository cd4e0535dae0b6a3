import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lib.scoring.calibrating.base import Inputs
from lib.scoring.calibrating.scaling import RIDGE, MatrixScaling, Stack, VectorScaling
from lib.scoring.metrics import log_loss
from tests.scoring.calibrating.drawing import draw, softmax


def of(p):
    return Inputs(probabilities=p)


def bent(rng, n):
    p = rng.dirichlet([1.5, 1.5, 1], n)
    matrix = np.array([[1.3, -0.2, 0.1], [0.1, 0.7, 0.0], [-0.3, 0.2, 1.1]])
    return p, draw(softmax(np.log(p) @ matrix.T + [0.2, 0.0, -0.4]), rng)


def test_identity_leaves_probabilities_alone():
    p = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [np.nan] * 3])
    zeros = np.zeros(3)
    for same in (VectorScaling(weights=np.ones(3), biases=zeros), MatrixScaling(weights=np.eye(3), biases=zeros)):
        np.testing.assert_allclose(same.apply(of(p)), p, atol=2e-6)
    both = Stack(weights=np.stack([np.eye(3)] * 2) / 2, biases=zeros)
    np.testing.assert_allclose(both.apply(Inputs(members=np.stack([p, p], axis=1))), p, atol=2e-6)


def test_a_matrix_is_the_logistic_regression_of_scikit_learn():
    p, labels = bent(np.random.default_rng(0), 20_000)  # so many that our prior hardly counts; theirs is none
    ours = MatrixScaling.fit(of(p), labels)
    theirs = LogisticRegression(C=np.inf, max_iter=10_000, tol=1e-12).fit(np.log(p), labels).predict_proba(np.log(p))
    np.testing.assert_allclose(ours.apply(of(p)), theirs, atol=5e-3)
    assert log_loss(ours.apply(of(p)), labels) == pytest.approx(log_loss(theirs, labels), abs=1e-5)


@pytest.mark.parametrize("method", [VectorScaling, MatrixScaling])
def test_no_neighbour_of_the_fit_is_better_by_likelihood_and_prior(method):
    p, labels = bent(np.random.default_rng(1), 200)
    fit = method.fit(of(p), labels)
    identity = {"weights": np.ones(3) if method is VectorScaling else np.eye(3), "biases": np.zeros(3)}

    def penalised(moved):
        shift = sum(((getattr(moved, name) - identity[name]) ** 2).sum() for name in identity)
        return log_loss(moved.apply(of(p)), labels) + RIDGE * shift / len(labels)

    best = penalised(fit)
    for name in identity:
        for place in np.ndindex(identity[name].shape):
            for step in (-0.01, 0.01):
                moved = {key: getattr(fit, key).copy() for key in identity}
                moved[name][place] += step
                assert penalised(method(**moved)) > best


def test_few_rows_hardly_bend_it():
    p, labels = bent(np.random.default_rng(2), 20)
    assert np.abs(MatrixScaling.fit(of(p), labels).weights - np.eye(3)).max() < 1


def test_a_stack_of_runs_knows_more_than_each():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1, (4_000, 3))
    labels = draw(softmax(1.5 * logits), rng)
    runs = [softmax(logits + rng.normal(0, 1, logits.shape)) for _ in range(3)]
    members = np.stack(runs, axis=1)
    logs = np.log(members).reshape(len(labels), 9)
    theirs = LogisticRegression(C=np.inf, max_iter=10_000, tol=1e-12).fit(logs, labels).predict_proba(logs)
    ours = Stack.fit(Inputs(members=members), labels).apply(Inputs(members=members))
    np.testing.assert_allclose(ours, theirs, atol=0.02)
    assert log_loss(ours, labels) < min(log_loss(run, labels) for run in runs) - 0.05
