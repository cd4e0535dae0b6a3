import numpy as np
import pytest

from lib.scoring.ranking.votes import distinct_rows
from tests.scoring.ranking.drawing import TIE, A, B, votes

ROWS = [(0, 1, A), (1, 0, B), (0, 1, TIE), (2, 0, A), (1, 2, A), (0, 1, A)]


def test_votes_of_a_pair_are_one_row_whoever_is_first():
    rows = distinct_rows(votes(ROWS, 3))
    assert rows.pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert rows.counts.tolist() == [[3, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert rows.features.toarray().tolist() == [[1, -1, 0], [1, 0, -1], [0, 1, -1]]
    assert (rows.clusters, rows.total) == (6, 6)


def test_covariates_turn_with_the_pair_and_tell_rows_apart():
    rows = distinct_rows(votes(ROWS, 3, position=np.ones(6), length=[0.5, -0.5, 0.5, 0, 0, 0.25]))
    found = {
        tuple(row): counts for row, counts in zip(rows.features.toarray().tolist(), rows.counts.tolist(), strict=True)
    }
    assert found == {
        (1, -1, 0, 1, 0.5): [1, 0, 1],
        (1, -1, 0, -1, 0.5): [1, 0, 0],
        (1, -1, 0, 1, 0.25): [1, 0, 0],
        (1, 0, -1, -1, 0): [0, 1, 0],
        (0, 1, -1, 1, 0): [1, 0, 0],
    }
    again = rows.features.toarray()[rows.row]
    assert (again[:, 0] - again[:, 2]).tolist() == [1, 1, 1, 2, 1, 1]


def test_weights_have_a_mean_of_one_and_votes_without_weight_are_none():
    rows = distinct_rows(votes(ROWS, 3, [7, 7, 3, 3, 9, 9], weight=[0, 2, 4, 2, 2, 0]))
    assert rows.counts.sum() == pytest.approx(4)
    assert rows.counts[0].tolist() == pytest.approx([0.8, 0, 1.6])
    assert rows.happened[0].tolist() == [1, 0, 1]
    assert rows.cluster.tolist() == [1, 0, 0, 2]
    assert rows.clusters == 3
