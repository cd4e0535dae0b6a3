"""The report's pictures, as SVG to be set into a page: text and lines take the page's own colour."""

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.scoring.metrics import ECE_BINS, Labels, reliability
from lib.scoring.probabilities import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Stands for the page's text colour while drawing, so that one picture suits light and dark pages.
_INK = "#010203"
_FILL = "#4a88d8"
_CLASSES = ("A", "B", "tie")


def reliability_diagram(probabilities: FloatArray, labels: Labels) -> str:
    """Accuracy against confidence of the most probable class, in the bins of the ECE; below, rows per bin.

    probabilities: [n, 3] without NaN; labels: [n] in 0, 1, 2. Dashed: perfect calibration. Whiskers: 95 % Wilson
    intervals.
    """
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    bins = reliability(probabilities, labels)
    full = bins.count > 0
    confidence, accuracy, count = bins.confidence[full], bins.accuracy[full], bins.count[full]
    low, high = _wilson(accuracy, count)
    figure = _figure(width=5.0, height=4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    upper.plot([0, 1], [0, 1], color=_INK, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6)
    upper.vlines(confidence, low, high, color=_FILL, linewidth=2, alpha=0.55)
    upper.plot(confidence, accuracy, color=_FILL, linewidth=0, marker="o", markersize=6, clip_on=False)
    upper.set(ylim=(0, 1), ylabel="accuracy")
    edges = np.linspace(0, 1, ECE_BINS + 1)[:-1][full]
    lower.bar(edges, count, width=1 / ECE_BINS, align="edge", color=_FILL, alpha=0.8, edgecolor="none")
    lower.set(xlim=(0.3, 1), xlabel="confidence (probability of the verdict)", ylabel="rows")
    lower.yaxis.set_major_locator(MaxNLocator(2, integer=True, prune="lower"))
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for axes in (upper, lower):
        _plain(axes)
    return _svg(figure)


def confusion_matrix(matrix: FloatArray) -> str:
    """Rows [3, 3] by label (down) and verdict (across), shaded by each label's share."""
    figure = _figure(width=4.4, height=3.9)
    axes = figure.subplots()
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros((3, 3)), where=totals > 0)
    for i in range(3):
        for j in range(3):
            axes.fill([j - 0.48, j + 0.48, j + 0.48, j - 0.48], [i - 0.48, i - 0.48, i + 0.48, i + 0.48], color=_FILL)
            axes.patches[-1].set(alpha=0.06 + 0.64 * shares[i, j], linewidth=0)
            axes.text(
                j,
                i - 0.07,
                f"{matrix[i, j]:,.1f}".removesuffix(".0"),
                ha="center",
                va="center",
                color=_INK,
                fontsize=13,
            )
            axes.text(j, i + 0.22, f"{shares[i, j]:.0%}", ha="center", va="center", color=_INK, fontsize=9, alpha=0.8)
    axes.set(xlim=(-0.5, 2.5), ylim=(2.5, -0.5), aspect="equal", xlabel="verdict", ylabel="label")
    axes.set_xticks(range(3), _CLASSES)
    axes.set_yticks(range(3), _CLASSES)
    _plain(axes)
    axes.spines[:].set_visible(False)
    return _svg(figure)


def _figure(*, width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def _plain(axes: Any) -> None:
    axes.set_facecolor("none")
    axes.tick_params(colors=_INK, length=0)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.spines[:].set_color(_INK)
    axes.spines[["top", "right"]].set_visible(False)


def _svg(figure: "Figure") -> str:
    """The figure as one `<svg>` element that scales with its container and refers to nothing outside itself."""
    from matplotlib import rc_context

    text = io.StringIO()
    # A fixed salt makes the same figure the same text.
    with rc_context({"svg.hashsalt": "overnight"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # two figures of one page would repeat these
    return re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)  # of the <svg> itself: the view box scales


def _wilson(share: FloatArray, count: Any) -> tuple[FloatArray, FloatArray]:
    """95 % score interval of a share (Wilson 1927)."""
    z = 1.959964
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return centre - half, centre + half
