"""Matrices as pictures: numbers in cells, shaded by size."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from lib.report.drawing import FILL, INK, POINTS, cell, inches, labels, plain, plot, svg
from lib.scoring.probabilities import FloatArray, IntArray

_CELL_HEIGHT = 0.38
_CELL_WIDTH = 0.46
_NARROW, _LOW = 0.045, 0.18  # width and height of cells without numbers
_MOST_NUMBERS = 20
_SHADES = 10
_GAP = 0.15
_LINE = 1.7 * POINTS / 72


def win_heat_map(names: Sequence[str], matrix: IntArray) -> str:
    """Wins [s, s] of the row's system over the column's; systems are numbered, so that names may be long."""
    rows = [f"{name} · {number}" for number, name in enumerate(labels(names), 1)]
    columns = [str(number) for number in range(1, len(names) + 1)]
    values = matrix.astype(np.float64)
    cells = [["" if i == j else f"{count:,}" for j, count in enumerate(row)] for i, row in enumerate(matrix.tolist())]
    strength = values / max(values.max(initial=0), 1)
    np.fill_diagonal(strength, np.nan)
    return _matrix(rows, columns, cells, strength, title="wins of the row over the column")


def chance_heat_map(names: Sequence[str], chances: FloatArray) -> str:
    """Probabilities [s, s] that the row's system beats the column's, NaN on the diagonal; systems are numbered.

    Above 20 systems the cells are narrow, and shaded without their numbers.
    """
    rows = [f"{name} · {number}" for number, name in enumerate(labels(names), 1)]
    title = "chance of the row against the column"
    if len(names) > _MOST_NUMBERS:
        return _shades(rows, chances, title=f"{title}, the fuller the likelier")
    columns = [str(number) for number in range(1, len(names) + 1)]
    cells = [["" if np.isnan(value) else f"{value:.0%}" for value in row] for row in chances.tolist()]
    return _matrix(rows, columns, cells, chances, title=title)


def heat_map(
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    values: FloatArray,
    *,
    row_title: str = "",
    column_title: str = "",
    form: str = ".2f",
) -> str:
    """Values [r, c] shaded from the smallest to the largest; NaN is a cell without a number.

    form: of the numbers, as in an f-string. The titles say what the labels are.
    """
    known = values[~np.isnan(values)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    strength = (values - low) / (high - low) if high > low else np.where(np.isnan(values), np.nan, 0.5)
    cells = [["–" if np.isnan(value) else format(value, form) for value in row] for row in values.tolist()]
    title = ", ".join(f"{text} {arrow}" for text, arrow in ((row_title, "↓"), (column_title, "→")) if text)
    return _matrix(labels(row_labels), labels(column_labels), cells, strength, title=title)


def _shades(rows: Sequence[str], strength: FloatArray, *, title: str) -> str:
    """A square matrix of many narrow cells in ten shades, without numbers; NaN is a cell unfilled. Columns are
    numbered.

    Cells of one shade are one shape, so that the picture stays small.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    s = len(rows)
    across = max(_NARROW * s, 4.0)
    right = max(_GAP, inches([title]) - across)
    axes: Any = plot(across, _LOW * s, left=inches(rows) + _GAP, right=right, top=2 * _LINE, bottom=0.05)
    shade = np.where(np.isnan(strength), -1, np.minimum(np.nan_to_num(strength) * _SHADES, _SHADES - 1)).astype(int)
    shapes: dict[int, list[Path]] = {}
    for i, row in enumerate(shade):
        borders = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), s]
        for start, stop in pairwise(borders):
            corners = [(start - 0.5, i - 0.5), (stop - 0.5, i - 0.5), (stop - 0.5, i + 0.5), (start - 0.5, i + 0.5)]
            shapes.setdefault(int(row[start]), []).append(Path([*corners, corners[0]], closed=True))
    for level, paths in sorted(shapes.items()):
        if level >= 0:
            alpha = 0.06 + 0.64 * (level + 0.5) / _SHADES
            axes.add_patch(PathPatch(Path.make_compound_path(*paths), color=FILL, alpha=alpha, linewidth=0))
    axes.set(xlim=(-0.5, s - 0.5), ylim=(s - 0.5, -0.5))
    axes.xaxis.tick_top()
    ticks = [0, *range(9, s, 10)]
    axes.set_xticks(ticks, [str(tick + 1) for tick in ticks], fontsize=POINTS)
    _finish(axes, rows, -0.5 - (_LINE + 0.03) / _LOW, title)
    return svg(axes.figure)


def _matrix(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    strength: FloatArray,
    *,
    title: str,
) -> str:
    """Cells with their texts; NaN in strength [r, c] leaves one unfilled. Column labels stand on top."""
    widest = inches([*columns, *(text for row in cells for text in row)])
    across = max(_CELL_WIDTH, widest + _GAP) * len(columns)
    axes: Any = plot(
        across,
        _CELL_HEIGHT * len(rows),
        left=inches(rows) + _GAP,
        right=max(_GAP, inches([title]) - across),
        top=_LINE + (_LINE if title else 0),
        bottom=0.05,
    )
    for i, row in enumerate(cells):
        for j, text in enumerate(row):
            if not np.isnan(strength[i, j]):
                cell(axes, i, j, strength[i, j])
            axes.text(j, i, text, ha="center", va="center", color=INK, fontsize=POINTS)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(columns)), columns, parse_math=False, fontsize=POINTS)
    _finish(axes, rows, -0.5 - (_LINE + 0.03) / _CELL_HEIGHT, title)
    return svg(axes.figure)


def _finish(axes: Any, rows: Sequence[str], top: float, title: str) -> None:
    axes.set_yticks(range(len(rows)), rows, parse_math=False, fontsize=POINTS)
    axes.text(-0.5, top, title, va="bottom", parse_math=False, color=INK, fontsize=POINTS, alpha=0.8)
    plain(axes)
    axes.spines[:].set_visible(False)
