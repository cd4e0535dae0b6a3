from typing import Any

import numpy as np
import pandas as pd
import pytest

from lib.data.reading.selection import Selection
from lib.data.rows.battles import BattlesConfig


def chosen(total: int, batch: int = 7, **config: Any) -> list[int]:
    selection = Selection(BattlesConfig(path="x", **config), total)
    masks = [selection.mask(start, min(batch, total - start)) for start in range(0, total, batch)]
    return np.flatnonzero(np.concatenate(masks)).tolist()


@pytest.mark.parametrize("fold", range(5))
@pytest.mark.parametrize("total", [3, 10, 23])
def test_folds_are_those_of_iloc(fold: int, total: int):
    assert chosen(total, fold=fold) == pd.Series(range(total)).iloc[fold::5].tolist()


def test_folds_share_the_rows_out():
    assert sorted(row for fold in range(3) for row in chosen(20, fold=fold, folds=3)) == list(range(20))


def test_sample_is_random_seeded_and_in_order():
    first = chosen(1000, sample=50)
    assert first == sorted(set(first)) == chosen(1000, sample=50, batch=64)
    assert len(first) == 50
    assert first != chosen(1000, sample=50, sample_seed=1)
    assert 300 < np.mean([row for seed in range(20) for row in chosen(1000, sample=50, sample_seed=seed)]) < 700


def test_a_sample_larger_than_the_input_is_the_input():
    assert chosen(10, sample=11) == list(range(10))


def test_fold_then_sample_then_limit():
    fold = chosen(100, fold=3)
    sample = chosen(100, fold=3, sample=8)
    assert len(sample) == 8
    assert set(sample) < set(fold)
    assert chosen(100, fold=3, sample=8, limit=5) == sample[:5]
    assert chosen(100, fold=3, limit=5) == fold[:5]
    assert chosen(100, limit=5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("config", "everything"), [({}, True), ({"limit": 3}, False), ({"fold": 0}, False)])
def test_all(config: dict[str, int], everything: bool):
    assert Selection(BattlesConfig(path="x", **config)).all is everything


def test_a_fold_beyond_a_short_input():
    assert chosen(2, fold=4) == chosen(2, fold=4, sample=3) == []
