from itertools import product

import numpy as np
import pytest

from lib.scoring.ranking.graph import components, feasible, groups


def test_groups_are_the_connected_systems():
    assert [group.tolist() for group in groups(np.array([[0, 3], [1, 2]]), 5)] == [[0, 3], [1, 2], [4]]
    assert len(np.unique(components(np.array([[0, 1], [1, 0]]), 2, directed=True))) == 1
    assert len(np.unique(components(np.array([[0, 1]]), 2, directed=True))) == 2


@pytest.mark.parametrize("seed", range(20))
def test_bounds_of_differences_can_be_met_unless_a_cycle_forbids_it(seed):
    rng = np.random.default_rng(seed)
    ring = np.stack([np.arange(4), (np.arange(4) + 1) % 4], axis=1)
    edges = np.concatenate([ring, rng.integers(0, 4, (4, 2))])
    edges = edges[edges[:, 0] != edges[:, 1]]
    most = rng.choice([-1.0, 1.0], len(edges))
    # Where there are numbers there are whole ones, the first of them 0, none further from it than 4.
    tried = np.array([(0, *rest) for rest in product(range(-4, 5), repeat=3)])
    wanted = (tried[:, edges[:, 1]] - tried[:, edges[:, 0]] <= most).all(axis=1).any()
    assert feasible(edges, most, 4) is bool(wanted)
