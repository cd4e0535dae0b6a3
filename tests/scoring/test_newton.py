import numpy as np
import pytest

from lib.scoring.newton import maximise, scores


def pairwise(s, ties):
    """Features of all pairs of s systems."""
    pairs = [(i, j) for i in range(s) for j in range(i + 1, s)]
    features = np.zeros((len(pairs), 2 + ties, s + ties))
    for row, (i, j) in enumerate(pairs):
        features[row, :2, i], features[row, :2, j] = (0.5, -0.5), (-0.5, 0.5)
    features[:, 2:, s:] = 1
    return features


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("s", [2, 3, 6])
def test_the_maximum_is_found_from_counts_of_any_size(s, ties):
    features = pairwise(s, ties)
    counts = 10 ** np.random.default_rng(s).uniform(-5, 5, (300, len(features), 2 + ties))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = maximise(features, counts, s, 0.0)
    for parameters, count in zip(found, counts, strict=True):
        gradient = np.einsum("pk,pkm->m", count, scores(features, parameters))
        assert np.abs(gradient).max() < 1e-9 * count.sum()
        assert parameters[:s].sum() == pytest.approx(0, abs=1e-6)


def test_sets_of_counts_do_not_touch_each_other():
    features = pairwise(4, ties=True)
    counts = np.random.default_rng(0).uniform(0.1, 50, (5, len(features), 3))
    together = maximise(features, counts, 4, 0.1)
    alone = [maximise(features, one[None], 4, 0.1)[0] for one in counts]
    np.testing.assert_allclose(together, alone, atol=1e-9)


def test_the_prior_pulls_towards_0():
    counts = np.array([[[3.0, 1.0]]])
    free, held, hard = (np.ptp(maximise(pairwise(2, False), counts, 2, ridge)) for ridge in (0.0, 1.0, 1e6))
    assert free == pytest.approx(np.log(3))
    assert 0.1 < held < 0.9 * free
    assert hard < 1e-5


def test_a_likelihood_without_a_maximum_is_a_bug_of_the_caller():
    with pytest.raises((AssertionError, np.linalg.LinAlgError)):
        maximise(pairwise(2, False), np.array([[[3.0, 0.0]]]), 2, 0.0)
