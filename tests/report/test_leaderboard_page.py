import re

import numpy as np
import pytest

from lib.report.heat_maps import chance_heat_map
from lib.report.leaderboard_page import render_leaderboard, summary_lines
from lib.scoring.ranking.leaderboard import Leaderboard
from lib.scoring.ranking.outcomes import RatingModel
from lib.scoring.ranking.points import Scale
from lib.scoring.ranking.ratings import rate
from tests.report.svg import box, check, fills, overflow, texts
from tests.report.test_heat_maps import LONG, ODD
from tests.scoring.ranking.drawing import drawn


def board(s=4, model=RatingModel.davidson, **more):
    data = drawn(model, np.linspace(1, -1, s), 12, np.random.default_rng(0), pairs=min(s * (s - 1) // 2, 400), tie=1.5)
    return Leaderboard(ratings=rate(data, model), scale=Scale(), left_out={"votes of weight 0": 7}, **more)


@pytest.mark.parametrize("model", RatingModel)
def test_the_page_tells_ranking_chances_and_how_to_read_them(model):
    found = board(model=model)
    html = render_leaderboard(found, {"math": board(3)}, {"<code>": "never met"}, "t", {"votes": "votes.csv"})
    assert "<code>" not in html
    for text in ("Left out: 7 votes of weight 0.", "Chances", "400 points more are odds of 10 to 1", "120 points"):
        assert text in html
    assert ("There are no intervals." in html) is (model is RatingModel.elo)
    assert ("ties (nu)" in html) is (model is RatingModel.davidson)
    assert ("ties (theta)" in html) is (model is RatingModel.rao_kupper)
    assert len(re.findall("<svg", html)) == 2
    rows = found.rows
    assert f"<td>{rows[0]['model']}</td>" in html
    assert f"<td>{round(rows[0]['rating']):,}</td>" in html


def test_many_models_are_shown_without_numbers_in_cells_and_the_terminal_gets_the_first():
    found = board(60)
    assert "… and 35 more" in summary_lines(found)
    html = render_leaderboard(found, {}, {}, "t", {})
    assert len(html) < 400_000
    assert "rank of 2–5" in html


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("s", [2, 20, 21, 130])
def test_chances_fit_for_any_number_of_models(s):
    ratings = np.linspace(2, -2, s)
    chances = 1 / (1 + np.exp(ratings - ratings[:, None]))
    np.fill_diagonal(chances, np.nan)
    svg = chance_heat_map([f"{LONG if i % 2 else ODD[i % 5]} {i}" for i in range(s)], chances)
    check(svg)
    assert overflow(svg) == []
    assert box(svg)[0] < 72 * 16
    percents = [text for text in texts(svg) if text.endswith("%")]
    assert len(percents) == (s * (s - 1) if s <= 20 else 0)
    assert len(fills(svg)) == (s * (s - 1) if s <= 20 else len({int(p * 10) for p in chances[~np.isnan(chances)]}))
