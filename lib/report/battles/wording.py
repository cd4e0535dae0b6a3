"""How figures and their intervals are written."""

from lib.scoring.inference.estimates import Estimate

INTERVAL = "95 %"
"""The header of a column of intervals."""


def number(value: float | None) -> str:
    """Four decimals, or a dash."""
    return "–" if value is None else f"{round(value, 4) + 0.0:.4f}"  # no "-0.0000"


def ends(found: Estimate | None) -> str:
    """The interval of a figure, or a dash."""
    if found is None or found.low is None or found.high is None:
        return "–"
    return f"{number(found.low)} to {number(found.high)}"


def with_ends(value: float, found: Estimate | None) -> str:
    """A figure, followed by its interval where there is one."""
    shown = ends(found)
    return number(value) if shown == "–" else f"{number(value)} ({shown})"


def percent(value: float, found: Estimate | None) -> str:
    """A share as a percentage, followed by its interval where there is one."""
    if found is None or found.low is None or found.high is None:
        return f"{value:.1%}"
    return f"{value:.1%} ({found.low:.1%} to {found.high:.1%})"
