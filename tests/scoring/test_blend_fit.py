import numpy as np
import pytest

from lib.errors import InputError
from lib.scoring.blend_fit import fit_blend, fit_weights
from lib.scoring.calibrating.choosing import folds_of
from lib.scoring.metrics import log_loss
from tests.scoring.test_blend_weights import members

GROUPS = np.random.default_rng(0).integers(0, 2**63, 2_000).astype(np.uint64)


def test_what_is_told_of_a_blend_is_of_rows_held_out():
    found, labels = members(np.random.default_rng(1), 2_000, [0.7, 0.9, 3.0])
    fit = fit_blend(found, labels, GROUPS)
    assert fit.weights == pytest.approx(fit_weights(found, labels))
    blended = np.empty((2_000, 3))
    for k in range(5):
        test = folds_of(GROUPS, 5) == k
        blended[test] = np.einsum("m,nmk->nk", fit_weights(found[~test], labels[~test]), found[test])
    assert fit.blend.value == pytest.approx(log_loss(blended, labels), abs=1e-9)
    singles = [log_loss(found[:, m], labels) for m in range(3)]
    assert [single.value for single in fit.members] == pytest.approx(singles)
    assert fit.best == int(np.argmin(singles)) == 0
    assert fit.to_best.value == pytest.approx(fit.blend.value - singles[0])
    assert fit.to_best.high < 0
    assert (fit.stack, fit.stacked, fit.stack_is_better) == (None, None, False)
    np.testing.assert_allclose(fit.apply(found), np.einsum("m,nmk->nk", fit.weights, found))


def test_a_stack_is_taken_where_it_is_better():
    found, labels = members(np.random.default_rng(2), 2_000, [0.8, 0.9])
    dull = found**0.3 / (found**0.3).sum(axis=2, keepdims=True)  # what a blend can't mend
    fit = fit_blend(dull, labels, GROUPS, stack=True)
    assert fit.stack_is_better
    assert log_loss(fit.apply(dull), labels) < fit.blend.value - 0.05
    assert fit.stacked.value - fit.blend.value == pytest.approx(fit.to_blend.value)


def test_and_not_where_it_only_has_more_parameters():
    found, labels = members(np.random.default_rng(3), 60, [0.1])
    wrong = np.random.default_rng(4).dirichlet([1, 1, 1], (60, 6))
    fit = fit_blend(np.concatenate([found, wrong], axis=1), labels, GROUPS[:60], stack=True)
    assert not fit.stack_is_better
    assert fit.apply(np.concatenate([found, wrong], axis=1))[:, 0] == pytest.approx(
        np.einsum("m,nm->n", fit.weights, np.concatenate([found, wrong], axis=1)[:, :, 0])
    )


def test_too_few_rows_are_refused():
    found, labels = members(np.random.default_rng(5), 20, [0.5])
    with pytest.raises(InputError, match="20 labelled rows about 20 questions"):
        fit_blend(found, labels, GROUPS[:20])
