"""The report of a run of grades."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.report.charts import bar_chart
from lib.report.failures import failure_sections
from lib.report.grades.grade_measures import GradeMetrics
from lib.report.page import Figure, Section, Table, render
from lib.report.tables import text_table
from lib.scoring.aggregates.means import Mean

_FIGURES = ("mean", "95 %", "rows")
_MOST_LINES = 30  # on a terminal


def grade_lines(metrics: GradeMetrics) -> list[str]:
    """The metrics in words."""
    share = f" ({metrics.failed / metrics.rows:.1%})" if metrics.failed else ""
    lines = [f"{metrics.rows:,} rows, {metrics.failed:,} without a grade{share}."]
    if metrics.mean.mean is not None:
        clusters = f"rows of one {metrics.cluster} counted together" if metrics.cluster else "by rows"
        lines.append(f"The mean grade is {metrics.mean.mean:.4f} (95 %: {_interval(metrics.mean)}; {clusters}).")
    if metrics.label_mass is not None:
        lines.append(f"Label mass: {metrics.label_mass:.4f} on average.")
    return lines


def grade_summary(metrics: GradeMetrics) -> str:
    """The metrics for a terminal: in words, then by criterion and by group."""
    tables = [text_table((name, *_FIGURES), rows) for name, rows in _tables(metrics) if len(rows) <= _MOST_LINES]
    return "\n".join([*grade_lines(metrics), *tables])


def render_grades(metrics: GradeMetrics, results: Sequence[Path], title: str, details: Mapping[str, str]) -> str:
    """A page with the metrics, the grades given, and why rows have none. details: of the run, if it is one."""
    counts = {"rows": [float(count) for count in metrics.histogram.values()]}
    picture = Figure(
        svg=bar_chart(list(metrics.histogram), counts, title="rows"),
        description="Rows by grade: " + ", ".join(f"{grade}: {n:,}" for grade, n in metrics.histogram.items()),
    )
    text = ["Each row counts at the grade that is nearest to its own, the higher of equals."]
    sections = [Section(heading="Grades", text=text, figure=picture)]
    for name, rows in _tables(metrics):
        sections.append(Section(heading=f"By {name}", table=Table(header=(name, *_FIGURES), rows=rows)))
    sections += failure_sections(results)
    if details:
        table = Table(header=(), rows=list(details.items()), prose=True)
        sections.append(Section(heading="About this run", table=table))
    return render(title, grade_lines(metrics), sections)


def _tables(metrics: GradeMetrics) -> list[tuple[str, list[tuple[str, ...]]]]:
    """By what, and rows of means."""
    found = {"criterion": metrics.criteria, **metrics.by}
    return [(name, [_row(*item) for item in means.items()]) for name, means in found.items() if means]


def _row(name: str, mean: Mean) -> tuple[str, ...]:
    return name, "–" if mean.mean is None else f"{mean.mean:.4f}", _interval(mean), f"{mean.rows:,}"


def _interval(mean: Mean) -> str:
    return "–" if mean.low is None else f"{mean.low:.2f} to {mean.high:.2f}"
