"""The report of a run of battles: `metrics.json`, `report.html`, and a summary for the terminal."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from lib.data.atomic import write_text
from lib.data.run_folder import METRICS, REPORT
from lib.report.figures import confusion_matrix, reliability_diagram
from lib.report.page import Figure, Section, Table, render
from lib.report.predictions import Predictions
from lib.report.tables import text_table
from lib.scoring.calibration import (
    apply_davidson,
    apply_temperature,
    cross_validated_log_loss,
    fit_davidson,
    fit_temperature,
)
from lib.scoring.metrics import BattleMetrics, battle_metrics, normalise, position_bias
from lib.scoring.probabilities import FloatArray, average_orders

_FIT_FROM_ROWS = 50
_LEAST_MASS = 0.5  # of the labels together
_FIT_UP_TO_ROWS = 1_000_000  # three parameters are long settled by then
_SCORES = (
    ("log loss", "log_loss"),
    ("accuracy", "accuracy"),
    ("Brier", "brier"),
    ("ECE", "ece"),
    ("kappa", "kappa"),
)


def measure(predictions: Predictions) -> BattleMetrics:
    """All metrics of a run; Davidson (rewards) or temperature (a judge) is fitted from 50 measured rows on.

    The temperature is that of the orders' mean, whatever the run's own rule has made of it.
    """
    p, labels = predictions.probabilities, predictions.labels
    metrics = battle_metrics(p, labels)
    mass = predictions.label_mass
    if mass is not None and not np.isnan(mass).all():
        metrics = replace(metrics, label_mass=float(np.nanmean(mass)))
    if predictions.ab is not None and predictions.ba is not None:
        metrics = replace(metrics, position_bias=position_bias(predictions.ab, predictions.ba))
    measured = np.flatnonzero(~np.isnan(p).any(axis=1) & (labels >= 0))
    if len(measured) and np.isin(normalise(p[measured]), (0, 0.5, 1)).all():
        hard = replace(metrics.scores, log_loss=None, ece=None)
        return replace(metrics, scores=hard, log_loss_with_fallback=None)
    if len(measured) < _FIT_FROM_ROWS:
        return metrics
    rows = measured[:: -(-len(measured) // _FIT_UP_TO_ROWS)]
    if predictions.score_a is not None and predictions.score_b is not None:
        scores = (predictions.score_a[rows], predictions.score_b[rows])
        held_out = cross_validated_log_loss(fit_davidson, apply_davidson, scores, labels[rows])
        davidson = {**asdict(fit_davidson(*scores, labels[rows])), "log_loss": held_out}
        return replace(metrics, davidson_fit=davidson)
    if predictions.ab is not None:
        mean = _mean_of_orders(predictions.ab[rows], None if predictions.ba is None else predictions.ba[rows])
        held_out = cross_validated_log_loss(fit_temperature, apply_temperature, (mean,), labels[rows])
        temperature = {**asdict(fit_temperature(mean, labels[rows])), "log_loss": held_out}
        return replace(metrics, temperature_fit=temperature)
    return metrics


def _mean_of_orders(ab: FloatArray, ba: FloatArray | None) -> FloatArray:
    """[n, 3]; A first alone where nothing else was asked."""
    return ab if ba is None or np.isnan(ba).all() else average_orders(ab, ba)


def write_report(
    predictions: Predictions,
    out_dir: Path,
    *,
    title: str,
    details: Mapping[str, str],
    engine: Mapping[str, float | int | None] | None = None,
) -> BattleMetrics:
    """Measure, write `metrics.json` and `report.html` into `out_dir` (each whole or not at all), return the metrics.

    details: what the reader should know of the run (model, data, prompt, …), shown as it is. engine: how well the run
    used its engines, for `metrics.json`; None for predictions that come from no run.
    """
    metrics = measure(predictions)
    out_dir.mkdir(parents=True, exist_ok=True)
    content = {**metrics.to_dict(), **({} if engine is None else {"engine": engine})}
    write_text(out_dir / METRICS, json.dumps(content, indent=2, allow_nan=False) + "\n")
    lead = [*_rows_lines(metrics), *_verdict_lines(metrics)]
    write_text(out_dir / REPORT, render(title, lead, _sections(predictions, metrics, details)))
    return metrics


def summary(metrics: BattleMetrics) -> str:
    """The metrics beside the uniform prior's, as lines for the terminal."""
    lines = [*_rows_lines(metrics), *_verdict_lines(metrics), *_order_lines(metrics), *_fit_lines(metrics)]
    if not metrics.measured:
        return "\n".join(lines)
    return "\n".join([text_table(("", "this run", "uniform"), _score_rows(metrics)), *lines])


def _score_rows(metrics: BattleMetrics) -> list[tuple[str, str, str]]:
    ours, uniform = asdict(metrics.scores), asdict(metrics.uniform)
    return [(name, _number(ours[key]), _number(uniform[key])) for name, key in _SCORES]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 4) + 0.0:.4f}"  # no "-0.0000"


def _rows_lines(metrics: BattleMetrics) -> list[str]:
    coverage = "" if metrics.coverage is None else f" (coverage {metrics.coverage:.2%})"
    return [
        f"{metrics.rows:,} rows: {metrics.rows - metrics.failed:,} scored{coverage}, {metrics.failed:,} failed; "
        f"{metrics.labelled:,} with labels, {metrics.measured:,} measured."
    ]


def _verdict_lines(metrics: BattleMetrics) -> list[str]:
    ours, uniform = metrics.scores.log_loss, metrics.uniform.log_loss
    if metrics.measured and ours is None:
        return [
            "The verdicts are hard (probabilities of 0, 1/2 and 1), so there is no log loss: it would say how a 0 is "
            f"rounded. They agree with the labels in {metrics.scores.accuracy:.1%} of the rows."
        ]
    if ours is None or uniform is None:
        return ["No row has both probabilities and a label, so nothing was measured."]
    if round(ours, 4) < round(uniform, 4):  # as shown
        lines = [f"The log loss is {ours:.4f}, against {uniform:.4f} for always answering 1/3, 1/3, 1/3."]
    else:
        lines = [
            f"The log loss, {ours:.4f}, is no better than the {uniform:.4f} of always answering 1/3, 1/3, 1/3: "
            "taken as they stand, these probabilities are worth no more than a guess."
        ]
    if metrics.measured < metrics.labelled:
        lines.append(f"With 1/3, 1/3, 1/3 where a row failed it is {_number(metrics.log_loss_with_fallback)}.")
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
    shown = "first" if bias.first_minus_second >= 0 else "second"
    return [
        *lines,
        f"Position bias: the {shown} response shown is favoured by {abs(bias.first_minus_second):.4f} in probability; "
        f"{bias.changed:.1%} of {bias.rows:,} verdicts change with the order; "
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
            values = {key: f"{value:.4g}" for key, value in fit.items() if key != "log_loss"}
            settings = rule + " ".join(f"{section}.{key}={value}" for key, value in values.items())
            lines += [
                f"{name} fitted on the labels: {', '.join(f'{key} {value}' for key, value in values.items())}; "
                f"log loss {fit['log_loss']:.4f} on rows held out (5 folds).",
                "No rule is made of it: the higher scores are those of the worse responses here."
                if fit.get("scale", 1) <= 0
                else f"A submission by it, without the engine: jobs.merge run.dir=DIR merge.out=FILE {settings}",
            ]
    return lines


def _sections(predictions: Predictions, metrics: BattleMetrics, details: Mapping[str, str]) -> list[Section]:
    sections = []
    if metrics.measured:
        measured = ~np.isnan(predictions.probabilities).any(axis=1) & (predictions.labels >= 0)
        p, labels = predictions.probabilities[measured], predictions.labels[measured]
        assert metrics.confusion is not None
        sections = [
            Section(
                heading="Scores",
                text=["Log loss, Brier and ECE: lower is better. Accuracy and kappa: higher is better."],
                table=Table(header=("", "this run", "uniform prior"), rows=_score_rows(metrics)),
            ),
            Section(
                heading="Calibration",
                text=["Dashed: perfect calibration. Whiskers: 95 % intervals."],
                figure=Figure(svg=reliability_diagram(p, labels), description="Accuracy by confidence of the verdict"),
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
    if predictions.reasons:
        rows = [(reason, f"{count:,}") for reason, count in predictions.reasons.most_common(20)]
        sections.append(Section(heading="Why rows failed", table=Table(header=("reason", "rows"), rows=rows)))
    if predictions.failures:
        rows_failed = [(f.file, str(f.row), f.id or "–", f.reason) for f in predictions.failures]
        table = Table(header=("file", "row", "id", "reason"), rows=rows_failed, prose=True)
        sections.append(Section(heading="The first failed rows", table=table))
    if details:
        table = Table(header=(), rows=list(details.items()), prose=True)
        sections.append(Section(heading="About this run", table=table))
    return sections
