"""The report of a run of battles: `metrics.json`, `report.html`, and a summary for the terminal."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lib.data.atomic import write_text
from lib.data.run_folder import METRICS, REPORT
from lib.report.battles.battle_measures import Measured, measure
from lib.report.battles.bias_measures import Bias
from lib.report.battles.bias_page import bias_sections
from lib.report.battles.wording import INTERVAL, ends, number, percent, with_ends
from lib.report.failures import kinds_section
from lib.report.figures import confusion_matrix, reliability_diagram
from lib.report.page import Figure, Section, Table, render
from lib.report.predictions import Predictions
from lib.report.tables import text_table
from lib.scoring.calibrating.temperature import HOTTEST
from lib.scoring.inference.estimates import MOST_CLUSTERS, Estimate
from lib.scoring.metrics import BattleMetrics

_LEAST_MASS = 0.5  # of the labels together
_SCORES = (
    ("log loss", "log_loss"),
    ("accuracy", "accuracy"),
    ("Brier", "brier"),
    ("ECE", "ece"),
    ("kappa", "kappa"),
)


def write_report(
    blocks: Iterable[Predictions],
    out_dir: Path,
    *,
    title: str,
    details: Mapping[str, str],
    run: Mapping[str, object] | None = None,
    bias: Bias | None = None,
    more: Sequence[Section] = (),
) -> BattleMetrics:
    """Measure, write `metrics.json` and `report.html` into `out_dir` (each whole or not at all), return the metrics.

    blocks: the rows, part by part. details: what the reader should know of the run (model, data, prompt, …), shown as
    it is. run: what `metrics.json` says of it besides; None for predictions that come from no run. bias: shown where
    there is something in it. more: what the page shows besides.
    """
    measured = measure(blocks)
    metrics = measured.metrics
    out_dir.mkdir(parents=True, exist_ok=True)
    content = {**metrics.to_dict(), **({"bias": bias.content()} if bias else {}), **(run or {})}
    write_text(out_dir / METRICS, json.dumps(content, indent=2, allow_nan=False) + "\n")
    lead = [*_rows_lines(metrics), *_verdict_lines(metrics)]
    write_text(out_dir / REPORT, render(title, lead, [*more, *_sections(measured, details, bias)]))
    return metrics


def summary(metrics: BattleMetrics) -> str:
    """The metrics beside the uniform prior's, as lines for the terminal."""
    lines = [*_rows_lines(metrics), *_verdict_lines(metrics), *_order_lines(metrics), *_fit_lines(metrics)]
    lines += _interval_lines(metrics)
    if not metrics.measured:
        return "\n".join(lines)
    return "\n".join([text_table(("", "this run", "uniform", INTERVAL), _score_rows(metrics)), *lines])


def _score_rows(metrics: BattleMetrics) -> list[tuple[str, ...]]:
    ours, uniform, found = asdict(metrics.scores), asdict(metrics.uniform), metrics.intervals.found
    return [(name, number(ours[key]), number(uniform[key]), ends(found.get(key))) for name, key in _SCORES]


def _rows_lines(metrics: BattleMetrics) -> list[str]:
    coverage = "" if metrics.coverage is None else f" (coverage {metrics.coverage:.2%})"
    return [
        f"{metrics.rows:,} rows: {metrics.rows - metrics.failed:,} scored{coverage}, {metrics.failed:,} failed; "
        f"{metrics.labelled:,} with labels, {metrics.measured:,} measured."
    ]


def _verdict_lines(metrics: BattleMetrics) -> list[str]:
    ours, uniform, found = metrics.scores.log_loss, metrics.uniform.log_loss, metrics.intervals.found
    if metrics.measured and ours is None:
        agreed = metrics.scores.accuracy
        assert agreed is not None
        return [
            "The verdicts are hard (probabilities of 0, 1/2 and 1), so there is no log loss: it would say how a 0 is "
            f"rounded. They agree with the labels in {percent(agreed, found.get('accuracy'))} of the rows."
        ]
    if not metrics.labelled:
        return ["No row has a label, so nothing was measured; data.columns.label=NAME says in which column labels are."]
    if ours is None or uniform is None:
        return ["No row has both probabilities and a label, so nothing was measured."]
    shown, guess = with_ends(ours, found.get("log_loss")), f"{uniform:.4f} of always answering 1/3, 1/3, 1/3"
    low, high = _shown_ends(found.get("log_loss", Estimate(ours)))
    if high < round(uniform, 4):
        lines = [f"The log loss is {shown}, against the {guess}."]
    elif low >= round(uniform, 4):
        lines = [
            f"The log loss, {shown}, is no better than the {guess}: "
            "taken as they stand, these probabilities are worth no more than a guess."
        ]
    else:
        lines = [f"The log loss, {shown}, is not shown to differ from the {guess}, a guess."]
    if metrics.measured < metrics.labelled:
        lines.append(f"With 1/3, 1/3, 1/3 where a row failed it is {number(metrics.log_loss_with_fallback)}.")
    return lines


def _order_lines(metrics: BattleMetrics) -> list[str]:
    bias = metrics.position_bias
    lines = [] if metrics.label_mass is None else [f"Label mass: {metrics.label_mass:.4f} on average."]
    if metrics.label_mass is not None and metrics.label_mass < _LEAST_MASS:
        lines.append(
            "WARNING: most of the judge's probability is on other answers than the labels, so that these verdicts are "
            "not what it would say. Look at the prompt as the model gets it (prompt.preview=1), and at its labels."
        )
    if bias is None:
        return lines
    found = metrics.intervals.found
    favour, shown = bias.first_minus_second, "first" if bias.first_minus_second >= 0 else "second"
    favours = found.get("first_minus_second", Estimate(favour))
    turned = favours if favour >= 0 else favours.negative
    favoured = (
        f"no favour for either place is shown: first less second is {with_ends(favour, favours)} in probability"
        if favours.holds(0)
        else f"the {shown} response shown is favoured by {with_ends(abs(favour), turned)} in probability"
    )
    return [
        *lines,
        f"Position bias: {favoured}; {percent(bias.changed, found.get('changed'))} of {bias.rows:,} verdicts change "
        "with the order; "
        f"ties {bias.tie_rate_ab:.1%} with A first, {bias.tie_rate_ba:.1%} with B first.",
    ]


def _fit_lines(metrics: BattleMetrics) -> list[str]:
    fits = (
        ("Davidson", "arena", "arena.rule=davidson ", metrics.davidson_fit),
        ("Temperature", "judge", "", metrics.temperature_fit),
    )
    lines = []
    for name, section, rule, fit in fits:
        if fit is not None:
            values = {key: f"{value:.4g}" for key, value in fit.items() if key not in ("log_loss", "sample")}
            settings = rule + " ".join(f"{section}.{key}={value}" for key, value in values.items())
            sample = f", of a sample of {fit['sample']:,.0f} rows" if "sample" in fit else ""
            lines += [
                f"{name} fitted on the labels: {', '.join(f'{key} {value}' for key, value in values.items())}; "
                f"log loss {fit['log_loss']:.4f} on rows held out (5 folds){sample}.",
                _no_rule(fit)
                or f"A submission by it, without the engine: jobs.merge run.dir=DIR merge.out=FILE {settings}",
            ]
    return lines


def _no_rule(fit: Mapping[str, float]) -> str | None:
    """Why a fit is nothing to go by, where it isn't."""
    if fit.get("scale", 1) <= 0:
        return "No rule is made of it: the higher scores are those of the worse responses here."
    if fit.get("temperature", 1) >= HOTTEST:
        return "No rule is made of it: the probabilities tell nothing of the labels here."
    return None


def _shown_ends(found: Estimate) -> tuple[float, float]:
    """The ends of an interval as shown; of one that there isn't, ends that leave everything open."""
    if found.low is None or found.high is None:
        return -math.inf, math.inf
    return round(found.low, 4), round(found.high, 4)


def _interval_lines(metrics: BattleMetrics) -> list[str]:
    """What the intervals rest on."""
    intervals = metrics.intervals
    if not metrics.measured:
        return []
    if intervals.clusters < 2:
        return [f"There are no intervals: one {intervals.by} tells nothing about others."]
    if intervals.by == "row":
        return ["Intervals: 95 %, as if no two rows were about one question."]
    of = "at least " if intervals.clusters * 2 > MOST_CLUSTERS else ""
    return [f"Intervals: 95 %; rows about one question depend on each other ({of}{intervals.clusters:,} questions)."]


def _sections(measured: Measured, details: Mapping[str, str], bias: Bias | None) -> list[Section]:
    sections, metrics = [], measured.metrics
    if metrics.measured:
        assert metrics.confusion is not None
        sections = [
            Section(
                heading="Scores",
                text=[
                    "Log loss, Brier and ECE: lower is better. Accuracy and kappa: higher is better.",
                    *_interval_lines(metrics),
                ],
                table=Table(header=("", "this run", "uniform prior", INTERVAL), rows=_score_rows(metrics)),
            ),
            Section(
                heading="Calibration",
                text=["Dashed: perfect calibration. Whiskers: 95 % intervals."],
                figure=Figure(
                    svg=reliability_diagram(measured.reliability), description="Accuracy by confidence of the verdict"
                ),
            ),
            Section(
                heading="Labels and verdicts",
                text=["Rows, and their share of the label's rows. Equal best probabilities share the verdict."],
                figure=Figure(
                    svg=confusion_matrix(np.asarray(metrics.confusion)), description="Rows by label and verdict"
                ),
            ),
        ]
    diagnostics = [*_order_lines(metrics), *_fit_lines(metrics)]
    if diagnostics:
        sections.append(Section(heading="Diagnostics", text=diagnostics))
    if bias:
        sections += bias_sections(bias)
    sections += kinds_section(measured.reasons)
    if measured.failures:
        rows_failed = [(f.file, str(f.row), f.id or "–", f.reason) for f in measured.failures]
        table = Table(header=("file", "row", "id", "reason"), rows=rows_failed, prose=True)
        sections.append(Section(heading="The first failed rows", table=table))
    if details:
        table = Table(header=(), rows=list(details.items()), prose=True)
        sections.append(Section(heading="About this run", table=table))
    return sections
