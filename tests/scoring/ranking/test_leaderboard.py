import json

import numpy as np
import pytest

from lib.errors import ConfigError
from lib.scoring.ranking.leaderboard import Leaderboard
from lib.scoring.ranking.outcomes import RatingModel
from lib.scoring.ranking.points import Scale
from lib.scoring.ranking.ratings import rate
from tests.scoring.ranking.drawing import TIE, A, B, votes

ROWS = [(0, 1, A)] * 10 + [(0, 1, B)] + [(1, 2, A), (1, 2, B), (2, 1, TIE)] * 3


def board(model=RatingModel.bradley_terry, rows=ROWS, s=3, anchor=None, **more):
    return Leaderboard(ratings=rate(votes(rows, s), model, anchor=anchor), scale=Scale(), left_out={}, **more)


def test_odds_of_ten_to_one_are_400_points_and_the_mean_is_1000():
    rows = board().rows
    assert [row["model"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["rating"] - rows[1]["rating"] == pytest.approx(400)
    assert np.mean([row["rating"] for row in rows]) == pytest.approx(1000)
    assert [row["votes"] for row in rows] == [11, 20, 9]
    assert all(row["low"] < row["rating"] < row["high"] for row in rows)
    assert (rows[0]["rank_low"], rows[0]["rank_high"]) == (1, 3)
    assert list(rows[0]) == ["model", "rating", "low", "high", "rank_low", "rank_high", "votes"]


def test_win_rates_are_against_the_others_or_the_baseline():
    np.testing.assert_allclose(board(baseline="b").win_rates, [10 / 11, np.nan, 1 / 2])
    found = board(RatingModel.davidson)
    chances = found.chances() + found.chances(2) / 2
    np.testing.assert_allclose(found.win_rates, np.nanmean(chances, axis=1))
    np.testing.assert_allclose(chances + chances.T, np.where(np.eye(3), np.nan, 1))
    with pytest.raises(ConfigError, match=r"leaderboard.baseline=d: no such model; there are a, b, c"):
        board(baseline="d")


@pytest.mark.parametrize("model", RatingModel)
def test_all_of_it_is_json(model):
    content = json.loads(json.dumps(board(model).content(), allow_nan=False))
    assert content["model"] == model.value
    assert (content["models"], content["votes"], content["ties"]) == (3, 20, 3)
    assert content["win_probabilities"]["rows"][0][0] is None
    with_ties = model in (RatingModel.davidson, RatingModel.rao_kupper)
    assert (content["tie_probabilities"] is not None) is with_ties
    assert content["intervals"] == (None if model is RatingModel.elo else "clustered")
    json.dumps(board(model).rows, allow_nan=False)


def test_elo_has_neither_intervals_nor_ranges_of_ranks():
    for row in board(RatingModel.elo).rows:
        assert row["low"] is row["high"] is row["rank_low"] is row["rank_high"] is None


def test_undefeated_models_are_named():
    found = board(rows=[*ROWS, *[(3, 0, A)] * 8, (3, 1, A)], s=4)
    assert found.content()["undefeated"] == ["d"]
    assert found.content()["regularised"] is True
    assert any(note.startswith("Against all others, d never lost") for note in found.notes)
    assert not any("never won" in note for note in found.notes)
