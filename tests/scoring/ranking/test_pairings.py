import numpy as np
import pytest

from lib.errors import ConfigError
from lib.scoring.ranking.pairings import pairings


@pytest.mark.parametrize(
    ("s", "questions", "pairs"),
    [(6, 1, None), (6, 40, None), (6, 41, 4), (7, 100, 5), (20, 50, 7), (3, 10, 1), (2, 9, 1), (4, 5, 6)],
)
def test_pairs_systems_and_positions_are_balanced(s, questions, pairs):
    battles = pairings(s, questions, pairs=pairs)
    every = s * (s - 1) // 2
    assert len(battles) == questions * (pairs or every)
    met = np.zeros((s, s), dtype=int)
    np.add.at(met, (battles[:, 1], battles[:, 2]), 1)
    assert np.trace(met) == 0
    both = (met + met.T)[np.triu_indices(s, 1)]
    assert np.ptp(both) <= 1
    assert np.abs(met - met.T).max() <= 1  # a pair takes turns
    assert np.ptp(met.sum(axis=0) + met.sum(axis=1)) <= 2
    assert np.abs(met.sum(axis=0) - met.sum(axis=1)).max() <= 3
    for question in range(questions):
        of_it = np.sort(battles[battles[:, 0] == question, 1:], axis=1)
        assert len(np.unique(of_it, axis=0)) == len(of_it) == (pairs or every)


def test_the_seed_decides_and_later_questions_change_nothing():
    np.testing.assert_array_equal(pairings(6, 20, pairs=5, seed=1), pairings(6, 20, pairs=5, seed=1))
    np.testing.assert_array_equal(pairings(6, 20, pairs=5, seed=1), pairings(6, 90, pairs=5, seed=1)[:100])
    assert (pairings(6, 20, pairs=5, seed=1) != pairings(6, 20, pairs=5, seed=2)).any()


@pytest.mark.parametrize(
    ("s", "questions", "pairs", "message"),
    [
        (1, 5, None, "a tournament of 1 systems"),
        (0, 5, None, "a tournament of 0 systems"),
        (4, 5, 7, "tournament.pairs=7: 4 systems make 6 pairs"),
        (4, 5, 0, "tournament.pairs=0"),
        (6, 1, 3, "tournament.pairs=3: too few to compare 6 systems on 1 questions"),
    ],
)
def test_what_cannot_be_played_is_refused(s, questions, pairs, message):
    with pytest.raises(ConfigError, match=message):
        pairings(s, questions, pairs=pairs)
