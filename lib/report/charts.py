"""Numbers with names as pictures: ratings with their intervals, bars."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lib.report.drawing import FILL, INK, POINTS, inches, labels, plain, plot, svg
from lib.scoring.probabilities import FloatArray

_WIDTH = 3.2
_ROW = 0.3
_MANY, _LOW_ROW, _WIDER = 40, 0.2, 5.5  # from so many rows on, these are lower, and the picture is wider
_GAP = 0.15
_AXIS = 0.55
"""Room for the numbers of an axis and its title."""


def ratings_chart(
    names: Sequence[str],
    ratings: FloatArray,
    low: FloatArray,
    high: FloatArray,
    *,
    title: str = "rating (log-odds)",
    centre: float = 0.0,
) -> str:
    """A dot for each rating [s], with a whisker from low to high (none where they are NaN); first on top.

    title: what the numbers are; many rows have them on top as well. Dashed: the centre, the mean of the ratings or
    their anchor.
    """
    shown, many = labels(names), len(names) > _MANY
    rows = np.arange(len(names))
    height, width, top = (_LOW_ROW, _WIDER, _AXIS / 2) if many else (_ROW, _WIDTH, _GAP)
    axes = _rows(shown, height * len(names), right=_GAP, bottom=_AXIS, top=top, width=width)
    axes.tick_params(axis="x", labeltop=many)
    axes.axvline(centre, color=INK, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    axes.hlines(rows, low, high, color=FILL, linewidth=2, alpha=0.55)
    axes.plot(ratings, rows, color=FILL, linewidth=0, marker="o", markersize=4 if many else 6, clip_on=False)
    axes.set(ylim=(len(names) - 0.5, -0.5), xlabel=title)
    axes.margins(x=0.05)
    axes.set_yticks(rows, shown, parse_math=False, fontsize=POINTS)
    return svg(axes.figure)


def bar_chart(
    names: Sequence[str], values: Mapping[str, Sequence[float]], *, title: str = "", form: str = ",.0f"
) -> str:
    """Bars [n] for each series (name -> values of all names), with their numbers; from 0 on, NaN is no bar.

    title: what the numbers are, with their unit. form: of the numbers, as in an f-string.
    """
    from matplotlib.ticker import StrMethodFormatter

    shown, series = labels(names), labels(list(values))
    numbers = np.array(list(values.values()), dtype=np.float64).reshape(len(series), len(names))
    texts = [["–" if np.isnan(value) else format(value, form) for value in row] for row in numbers.tolist()]
    bar = 0.22 if len(series) > 1 else _ROW - 0.08
    height = (bar * len(series) + 0.12) * len(names)
    right = inches(text for row in texts for text in row) + _GAP
    legend = len(series) > 1
    axes = _rows(shown, height, right=right, bottom=_AXIS, top=_GAP + 0.22 * len(series) if legend else _GAP)
    step = bar / (bar * len(series) + 0.12)  # in rows
    for i, (name, row) in enumerate(zip(series, numbers, strict=True)):
        at = np.arange(len(names)) + step * (i - (len(series) - 1) / 2)
        strength = 0.85 - 0.6 * i / max(len(series) - 1, 1)
        axes.barh(at, np.nan_to_num(row), height=step * 0.9, color=FILL, alpha=strength, edgecolor="none", label=name)
        for y, value, text in zip(at, np.nan_to_num(row), texts[i], strict=True):
            axes.annotate(
                text, (value, y), xytext=(4, 0), textcoords="offset points", va="center", color=INK, fontsize=POINTS
            )
    axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, max(np.nanmax(numbers, initial=0), 1e-9)), xlabel=title)
    axes.set_yticks(range(len(names)), shown, parse_math=False, fontsize=POINTS)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    if legend:
        box = axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, labelcolor=INK, borderaxespad=0.2)
        for text in box.get_texts():
            text.set_parse_math(False)
    return svg(axes.figure)


def _rows(
    names: Sequence[str], height: float, *, right: float, bottom: float, top: float = _GAP, width: float = _WIDTH
) -> Any:
    from matplotlib.ticker import MaxNLocator

    axes: Any = plot(width, height, left=inches(names) + _GAP, right=right, top=top, bottom=bottom)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    plain(axes)
    axes.spines["left"].set_visible(False)
    return axes
