"""The pictures of a report about battles."""

import numpy as np

from lib.report.drawing import FILL, INK, cell, figure, plain, svg
from lib.scoring.metrics import ECE_BINS, Reliability
from lib.scoring.probabilities import FloatArray, IntArray
from lib.types import VERDICTS


def reliability_diagram(bins: Reliability) -> str:
    """Accuracy against confidence of the most probable class, in the bins of the ECE; below, rows per bin.

    Dashed: perfect calibration. Whiskers: 95 % Wilson intervals.
    """
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    full = bins.count > 0
    confidence, accuracy, count = bins.confidence[full], bins.accuracy[full], bins.count[full]
    low, high = _wilson(accuracy, count)
    drawing = figure(width=5.0, height=4.6)
    upper, lower = drawing.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    upper.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    upper.vlines(confidence, low, high, color=FILL, linewidth=2, alpha=0.55)
    upper.plot(confidence, accuracy, color=FILL, linewidth=0, marker="o", markersize=6, clip_on=False)
    upper.set(ylim=(0, 1), ylabel="accuracy")
    edges = np.linspace(0, 1, ECE_BINS + 1)[:-1][full]
    lower.bar(edges, count, width=1 / ECE_BINS, align="edge", color=FILL, alpha=0.8, edgecolor="none")
    lower.set(xlim=(0.3, 1), xlabel="confidence (probability of the verdict)", ylabel="rows")
    lower.yaxis.set_major_locator(MaxNLocator(2, integer=True, prune="lower"))
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for axes in (upper, lower):
        plain(axes)
    return svg(drawing)


def confusion_matrix(matrix: FloatArray) -> str:
    """Rows [3, 3] by label (down) and verdict (across), shaded by each label's share."""
    drawing = figure(width=4.4, height=3.9)
    axes = drawing.subplots()
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros((3, 3)), where=totals > 0)
    for i in range(3):
        for j in range(3):
            cell(axes, i, j, shares[i, j])
            count = f"{matrix[i, j]:,.1f}".removesuffix(".0")
            axes.text(j, i - 0.07, count, ha="center", va="center", color=INK, fontsize=13)
            axes.text(j, i + 0.22, f"{shares[i, j]:.0%}", ha="center", va="center", color=INK, fontsize=9, alpha=0.8)
    axes.set(xlim=(-0.5, 2.5), ylim=(2.5, -0.5), aspect="equal", xlabel="verdict", ylabel="label")
    axes.set_xticks(range(3), VERDICTS)
    axes.set_yticks(range(3), VERDICTS)
    plain(axes)
    axes.spines[:].set_visible(False)
    return svg(drawing)


def _wilson(share: FloatArray, count: IntArray) -> tuple[FloatArray, FloatArray]:
    """95 % score interval of a share (Wilson 1927)."""
    z = 1.959964
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return centre - half, centre + half
