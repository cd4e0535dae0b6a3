import numpy as np
import pytest

from lib.errors import InputError
from lib.scoring.calibrating.base import Inputs
from lib.scoring.calibrating.choosing import (
    METHODS,
    Comparison,
    HeldOut,
    compare,
    every,
    folds_of,
    held_out,
    held_out_prior,
)
from lib.scoring.calibrating.scaling import MatrixScaling, VectorScaling
from lib.scoring.calibrating.temperature import Temperature, TemperatureTie
from lib.scoring.inference.estimates import Estimate
from lib.scoring.metrics import log_loss, normalise
from tests.scoring import oof
from tests.scoring.calibrating.drawing import draw, softmax

OF_PROBABILITIES = (Temperature, TemperatureTie, VectorScaling, MatrixScaling)


def test_folds_are_every_fifth_row_and_never_see_themselves():
    seen = []

    def fit(train):
        def apply(test):
            assert not (train & test).any()
            assert (train | test).all()
            seen.append(np.flatnonzero(test).tolist())
            return np.eye(3)[np.zeros(test.sum(), int)]

        return apply

    assert (held_out(fit, every(30))[:, 0] == 1).all()
    assert seen == [list(range(k, 30, 5)) for k in range(5)]


def test_the_prior_is_the_shares_of_the_other_folds():
    labels = np.array([0, 1, 2, 0, 0, 1])
    found = held_out_prior(labels, np.array([0, 0, 1, 1, 1, 1]))
    np.testing.assert_allclose(found[0], [3 / 7, 2 / 7, 2 / 7])  # of labels 2 0 0 1, and one of each
    np.testing.assert_allclose(found[2], [2 / 5, 2 / 5, 1 / 5])


def test_rows_of_a_question_are_in_one_fold_and_order_changes_nothing():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 2**63, 100).astype(np.uint64)[rng.integers(0, 100, 600)]
    fold = folds_of(groups, 5)
    assert set(fold) == set(range(5))
    assert all(len(set(fold[groups == group])) == 1 for group in groups)
    p, shuffled = rng.dirichlet([1, 1, 1], 600), rng.permutation(600)
    labels = draw(p, rng)
    one = compare(OF_PROBABILITIES, Inputs(probabilities=p), p, labels, groups)
    other = compare(
        OF_PROBABILITIES, Inputs(probabilities=p[shuffled]), p[shuffled], labels[shuffled], groups[shuffled]
    )
    assert other.best == one.best
    for name, found in one.methods.items():
        assert other.methods[name].log_loss == pytest.approx(found.log_loss, abs=1e-9)


def test_real_predictions_out_of_fold():
    p, labels = oof.read()
    p, rows = normalise(p), np.arange(len(labels))
    found = compare(OF_PROBABILITIES, Inputs(probabilities=p), p, labels, rows.astype(np.uint64), fold=every(len(rows)))
    assert found.raw.log_loss == pytest.approx(0.948845, abs=1e-6)
    assert found.prior.log_loss == pytest.approx(1.0973, abs=1e-3)
    losses = {name: round(held.log_loss, 5) for name, held in found.methods.items()}
    assert losses == pytest.approx(
        {"temperature": 0.94894, "temperature_tie": 0.94858, "vector": 0.94731, "matrix": 0.94738}, abs=2e-5
    )
    assert found.best == "vector"  # more than a standard error better than what is simpler, and simpler than a matrix
    gain = found.methods["vector"].to_raw
    assert gain.value == pytest.approx(losses["vector"] - 0.948845, abs=1e-5)
    assert gain.low < gain.value < gain.high < 0


def test_of_methods_that_cannot_be_told_apart_it_is_the_simplest():
    rng = np.random.default_rng(1)
    p = softmax(rng.normal(0, 1.5, (600, 3)))
    labels = draw(softmax(0.5 * np.log(p)), rng)
    found = compare(OF_PROBABILITIES, Inputs(probabilities=p), p, labels, np.arange(600, dtype=np.uint64))
    assert found.best == "temperature"
    assert found.methods["temperature"].to_prior.high < 0


def test_the_rule_is_the_standard_error_of_the_difference_on_the_same_rows():
    rng = np.random.default_rng(2)
    loss, nothing = rng.normal(1, 1, 400), Estimate(0, 0, 0)
    noise = rng.normal(0, 1, 400)
    noise -= noise.mean()
    error = noise.std(ddof=1) / 20

    def best(behind):
        held = {"simple": loss + behind + noise, "other": loss}
        methods = {name: HeldOut(np.zeros((400, 3)), losses, nothing, nothing) for name, losses in held.items()}
        first = methods["simple"]
        return Comparison(np.zeros(400, int), np.arange(400, dtype=np.uint64), 5, first, first, methods).best

    assert best(0.98 * error) == "simple"
    assert best(1.02 * error) == "other"


def test_noise_is_no_better_than_the_prior():
    rng = np.random.default_rng(3)
    p = rng.dirichlet([1, 1, 1], 400)
    found = compare(
        OF_PROBABILITIES, Inputs(probabilities=p), p, rng.integers(0, 3, 400), np.arange(400, dtype=np.uint64)
    )
    assert found.methods[found.best].to_prior.high > 0
    assert found.raw.log_loss > found.prior.log_loss


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        (np.zeros(60), "60 labelled rows about 1 questions: .*leaves 0"),
        (np.arange(60) % 2 * 2, "60 labelled rows about 2 questions: .*leaves 0"),  # which share a fold
        (np.arange(20), "20 labelled rows about 20 questions: .* leaves 10"),
    ],
)
def test_too_few_questions_are_refused(groups, why):
    p, labels = np.full((len(groups), 3), 1 / 3), np.arange(len(groups)) % 3
    with pytest.raises(InputError, match=why):
        compare(OF_PROBABILITIES, Inputs(probabilities=p), p, labels, groups.astype(np.uint64), folds=2)


def test_names_are_told_apart():
    assert len({method.name for method in METHODS}) == len(METHODS) == 8
    assert log_loss(np.full((3, 3), 1 / 3), np.arange(3)) == pytest.approx(np.log(3))
