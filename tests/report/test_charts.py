import re

import numpy as np
import pytest

from lib.report.charts import bar_chart, ratings_chart
from tests.report.svg import box, check, fills, overflow, texts
from tests.report.test_heat_maps import LONG, ODD


def dots(svg):
    """Positions (x, y) of the dots."""
    found = re.findall(r'<use xlink:href="#m[^"]*" x="([\d.]+)" y="([\d.]+)" style="fill: #4a88d8', svg)
    return [(float(x), float(y)) for x, y in found]


def whiskers(svg):
    """Ends (left, right) of the whiskers."""
    found = re.findall(r'd="M ([\d.]+) [\d.]+ \s*L ([\d.]+) [\d.]+ \s*" [^>]*stroke: #4a88d8', svg)
    return [(float(a), float(b)) for a, b in found]


def test_dots_and_whiskers_stand_where_the_ratings_are():
    ratings, half = np.array([1.0, 0.0, -1.0]), np.array([0.5, 0.25, 1])
    svg = ratings_chart(["a", "b", "c"], ratings, ratings - half, ratings + half)
    check(svg)
    (x0, y0), (x1, y1), (x2, y2) = dots(svg)
    assert x0 - x1 == pytest.approx(x1 - x2, abs=0.01)
    assert y0 < y1 < y2  # the first on top
    unit = x0 - x1
    for ends, x, length in zip(whiskers(svg), (x0, x1, x2), half, strict=True):
        assert ends == pytest.approx((x - length * unit, x + length * unit), abs=0.01)
    assert {"a", "b", "c", "rating (log-odds)"} <= set(texts(svg))


@pytest.mark.parametrize("s", [1, 2, 20])
@pytest.mark.filterwarnings("error")
def test_names_fit_and_unknown_intervals_have_no_whisker(s):
    names = [f"{LONG if i % 2 else ODD[i % 5]} {i}" for i in range(s)]
    nan = np.full(s, np.nan)
    svg = ratings_chart(names, np.linspace(1, -1, s), nan, nan)
    check(svg)
    assert overflow(svg) == []
    assert len(dots(svg)) == s
    assert whiskers(svg) == []


@pytest.mark.filterwarnings("error")
def test_bars_are_as_long_as_their_numbers():
    svg = bar_chart(["fp32", "NF4"], {"重み": [25713, 3596.4]}, title="MiB")
    check(svg)
    assert overflow(svg) == []
    assert {"fp32", "NF4", "25,713", "3,596", "MiB"} <= set(texts(svg))
    assert "重み" not in texts(svg)  # one series needs no legend
    bars = re.findall(r'd="M ([\d.]+) [\d.]+ \s*L ([\d.]+) [^"]*"[^>]*fill: #4a88d8', svg)
    long, short = (float(b) - float(a) for a, b in bars)
    assert short / long == pytest.approx(3596.4 / 25713, abs=1e-3)


@pytest.mark.filterwarnings("error")
def test_several_series_have_a_legend_and_unknown_numbers_no_bar():
    names = [f"{name} {i}" for i, name in enumerate([*ODD, LONG])]
    values = {"computed": [1.0] * 6, "測定 $x$": [2.0, np.nan, *[1.5] * 4]}
    svg = bar_chart(names, values, title="GB", form=".1f")
    check(svg)
    shown = texts(svg)
    assert overflow(svg) == []
    assert {"computed", "測定 $x$"} <= set(shown)
    assert shown.count("–") == 1
    assert len(set(fills(svg))) == 2
    assert box(svg)[1] < 72 * 8


def test_nothing_known_can_be_drawn():
    assert texts(bar_chart(["a"], {"x": [float("nan")]})).count("–") == 1
    check(bar_chart(["a", "b"], {"x": [0, 0]}))
