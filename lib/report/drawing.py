"""What the report's pictures have in common: SVG whose text and lines take the page's own colour and font."""

import io
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lib.report.tables import display_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stands for the page's text colour while drawing, so that one picture suits light and dark pages.
INK = "#010203"
FILL = "#4a88d8"
POINTS = 10.0
"""Size of text."""

_LONGEST = 32  # columns of a terminal; 7 cm
_INCHES = 0.6 * POINTS / 72  # of a column: the page's font is not known, so a wide one is reckoned with


def figure(*, width: float, height: float) -> "Figure":
    """An empty figure, in inches, that finds its own margins. Only for texts of ours."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def plot(width: float, height: float, *, left: float, right: float, top: float, bottom: float) -> "Axes":
    """Axes of width x height inches with the margins that are given.

    For texts of others: matplotlib measures them with its own font, which has no Japanese.
    """
    from matplotlib.figure import Figure

    across, down = left + width + right, bottom + height + top
    paper = Figure(figsize=(across, down), facecolor="none")
    return paper.add_axes((left / across, bottom / down, width / across, height / down))


def plain(axes: "Axes") -> None:
    """No background, no box, the page's colour."""
    axes.set_facecolor("none")
    axes.tick_params(colors=INK, length=0)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.spines[:].set_color(INK)
    axes.spines[["top", "right"]].set_visible(False)


def cell(axes: "Axes", row: int, column: int, strength: float) -> None:
    """Fill a cell of a matrix; strength from 0 to 1."""
    x, y = column, row
    axes.fill([x - 0.48, x + 0.48, x + 0.48, x - 0.48], [y - 0.48, y - 0.48, y + 0.48, y + 0.48], color=FILL)
    axes.patches[-1].set(alpha=0.06 + 0.64 * strength, linewidth=0)


def labels(names: Sequence[str]) -> list[str]:
    """Names as they are drawn: on one line, the middle of a long one left out, numbered where they then look alike."""
    short = [_shorten("".join(c if c.isprintable() else " " for c in name)) for name in names]
    alike = Counter(short)
    return [f"{number}: {text}" if alike[text] > 1 else text for number, text in enumerate(short, 1)]


def inches(texts: Iterable[str]) -> float:
    """How wide the widest text is drawn, at most."""
    return max(map(display_width, texts), default=0) * _INCHES


def svg(drawing: "Figure") -> str:
    """The figure as one `<svg>` element that scales with its container and refers to nothing outside itself."""
    from matplotlib import rc_context

    text = io.StringIO()
    # A fixed salt makes the same figure the same text. Text stays text: the page's fonts have glyphs for every script,
    # and that matplotlib's font has not does no harm.
    with rc_context({"svg.hashsalt": "overnight", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        drawing.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    written = text.getvalue()
    written = written[written.index("<svg") :].replace(INK, "currentColor")
    written = re.sub(r'<g id="[^"]*"', "<g", written)  # two figures of one page would repeat these
    written = re.sub(r'( style="[^"]*?);? ?font-family: [^;"]*', r"\1", written)
    # The view box scales; text is as large in every picture, unless there is no room.
    natural = f' style="max-width: {6 * drawing.get_figwidth():g}rem"'
    written = re.sub(r' width="[\d.]+pt"', natural, written, count=1)
    return re.sub(r' height="[\d.]+pt"', "", written, count=1)


def _shorten(text: str) -> str:
    if display_width(text) <= _LONGEST:
        return text
    head, tail = text, text
    while display_width(head) > _LONGEST // 2:
        head = head[:-1]
    while display_width(f"{head}…{tail}") > _LONGEST:
        tail = tail[1:]
    return f"{head}…{tail}"
