"""The bias report in words, and its sections on a page."""

from collections.abc import Sequence

from lib.report.battles.bias_measures import Bias, Part
from lib.report.battles.wording import INTERVAL, ends, number, with_ends
from lib.report.page import Section, Table
from lib.scoring.inference.bias import Contrast
from lib.scoring.inference.estimates import Estimate

_LEAST_BATTLES, _MOST_MODELS = 5, 50
_PARTS = ("", "rows", "with labels", "log loss", INTERVAL, "accuracy", INTERVAL)
_CONTRAST = ("", "judge", INTERVAL, "labels", INTERVAL, "judge less labels", INTERVAL)


def bias_lines(bias: Bias) -> list[str]:
    """What is shown and what is not, a line each."""
    lines = []
    for name, found in (("longer answers", bias.length), ("more Markdown", bias.markdown)):
        if found is not None:
            lines.append(_correlation_line(name, found))
    if bias.own_family is not None:
        lines.append(_own_line(*bias.own_family))
    return lines


def bias_sections(bias: Bias) -> list[Section]:
    """Of what could be looked at."""
    sections = _win_rates(bias)
    rows = [
        (name, *_contrast_cells(found))
        for name, found in (
            ("longer answer (correlation)", bias.length),
            ("more Markdown (correlation)", bias.markdown),
            ("own family (mean preference)", None if bias.own_family is None else bias.own_family[1]),
        )
        if found is not None
    ]
    if rows:
        text = [
            "Preference: of the judge P(A) - P(B), of the labels 1, -1 or 0. What labels prefer as well may be worth; "
            "the last column is what the judge adds.",
            *bias_lines(bias),
        ]
        sections.append(Section(heading="Bias", text=text, table=Table(header=_CONTRAST, rows=rows)))
    if bias.by_length:
        text = ["Characters of both responses together, in fifths of the rows."]
        sections.append(Section(heading="By length", text=text, table=_table(bias.by_length)))
    sections += [Section(heading=f"By {name}", table=_table(parts)) for name, parts in bias.groups.items()]
    return sections


def _win_rates(bias: Bias) -> list[Section]:
    """Of each model, where the table names any."""
    shown = [rate for rate in bias.win_rates if rate.battles >= _LEAST_BATTLES][:_MOST_MODELS]
    if not shown:
        return []
    rows = [
        (
            rate.model,
            f"{rate.battles:,}",
            f"{rate.judge.value:.1%}",
            _percents(rate.judge),
            "–" if rate.labels is None else f"{rate.labels.value:.1%}",
            _percents(rate.labels),
        )
        for rate in shown
    ]
    text = [
        "The probability of winning, of all of a model's battles; a tie is half a win. It depends on whom a model met: "
        "jobs.leaderboard allows for that.",
    ]
    if left_out := len(bias.win_rates) - len(shown):
        text.append(
            f"{left_out:,} models are left out: those with fewer than {_LEAST_BATTLES} battles, and all behind the "
            f"first {_MOST_MODELS}; metrics.json has them."
        )
    table = Table(header=("model", "battles", "judge", INTERVAL, "labels", INTERVAL), rows=rows)
    return [Section(heading="Win rates", text=text, table=table)]


def _percents(found: Estimate | None) -> str:
    if found is None or found.low is None or found.high is None:
        return "–"
    return f"{max(found.low, 0):.1%} to {min(found.high, 1):.1%}"


def _correlation_line(name: str, found: Contrast) -> str:
    ours = with_ends(found.judge.value, found.judge)
    if found.more is None or found.labels is None:
        shown = "" if not found.judge.holds(0) else "; none is shown"
        return f"Preference for {name}: correlation {ours}{shown}. Without labels it may be worth."
    theirs, more = with_ends(found.labels.value, found.labels), with_ends(found.more.value, found.more)
    return f"Preference for {name}: correlation {ours}, of the labels {theirs}; {_finding(found.more, more)}."


def _own_line(family: str, found: Contrast) -> str:
    ours = with_ends(found.judge.value, found.judge)
    start = f"Preference for answers of its own family ({family}), {found.rows:,} rows: {ours}"
    if found.more is None or found.labels is None:
        return f"{start}. Without labels it may be worth."
    theirs, more = with_ends(found.labels.value, found.labels), with_ends(found.more.value, found.more)
    return f"{start}, of the labels {theirs}; {_finding(found.more, more)}."


def _finding(more: Estimate, shown: str) -> str:
    if more.holds(0):
        return f"no difference shown ({shown})"
    return f"the judge's is {'higher' if more.value > 0 else 'lower'}: {shown}"


def _contrast_cells(found: Contrast) -> list[str]:
    cells = []
    for one in (found.judge, found.labels, found.more):
        cells += ["–", "–"] if one is None else [number(one.value), ends(one)]
    return cells


def _table(parts: Sequence[Part]) -> Table:
    rows = []
    for part in parts:
        cells = [part.name, f"{part.rows:,}", f"{part.measured:,}"]
        for name in ("log_loss", "accuracy"):
            found = part.scores.get(name)
            cells += ["–", "–"] if found is None else [number(found.value), ends(found)]
        rows.append(cells)
    return Table(header=_PARTS, rows=rows)
