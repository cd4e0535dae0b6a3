"""Fitting a calibration: every method that suits is measured on questions held out, and one is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from lib.config import require_local
from lib.data.atomic import write_text
from lib.data.battle_files.calibration_file import Calibration, write_calibration
from lib.data.run_folder import REPORT
from lib.errors import CalibrationError, ConfigError
from lib.log import log
from lib.pipeline.calibrating.labelled import Labelled
from lib.report.calibration_page import comparison_table, interval_content, interval_text, render_calibration
from lib.scoring.calibrating.base import Calibrator
from lib.scoring.calibrating.choosing import METHODS, Comparison, HeldOut, compare
from lib.scoring.calibrating.davidson import Davidson, DavidsonLength


class Method(Enum):
    """Names of METHODS, and `auto`."""

    auto = "auto"
    temperature = "temperature"
    temperature_tie = "temperature_tie"
    order_bias = "order_bias"
    vector = "vector"
    matrix = "matrix"
    davidson = "davidson"
    davidson_length = "davidson_length"
    stack = "stack"


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig:
    """How a calibration is chosen.

    method: `auto` takes the simplest whose loss on questions held out is within one standard error of the lowest.
    folds: of whole questions (by a hash of their text; rows whose question is not known by their ids), each measured by
    what was fitted on the others. force: write one that is no better than the shares of the labels. runs: folders of
    several runs on the same rows, for a stack; it is applied to submissions in this order.
    """

    method: Method = Method.auto
    folds: int = 5
    force: bool = False
    runs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"calibrate.folds={self.folds}: must be at least 2")
        for path in self.runs:
            require_local("calibrate.runs", path)
        if len(self.runs) == 1 or len(set(self.runs)) < len(self.runs):
            raise ConfigError(f"calibrate.runs={self.runs}: must be two or more runs; one alone is run.dir=DIR")


_WHY = {
    "probabilities": "probabilities of a judge or a submission",
    "ab": "a judge's answers",
    "ba": "a judge's answers in both orders (judge.swap=both)",
    "score_a": "scores of a reward model",
    "score_b": "scores of a reward model",
    "log_length": "the lengths of the responses",
    "members": "several runs (calibrate.runs=[…])",
}


def fit_calibration(rows: Labelled, config: CalibrateConfig, out: Path) -> None:
    """Choose and fit a method, write it to `out`, with a report beside it, and print what each is worth.

    Raises ConfigError for a method that these rows don't suit, InputError where they are too few, CalibrationError
    where the method is no better than the shares of the labels (`require_worth`) and `calibrate.force` is not set.
    """
    suiting = {method.name: method for method in METHODS if not method.lacking(rows.inputs)}
    wanted = config.method.value
    if config.method is not Method.auto and wanted not in suiting:
        lacks = next(method for method in METHODS if method.name == wanted).lacking(rows.inputs)
        raise ConfigError(
            f"calibrate.method={wanted}: needs {_WHY[lacks[0]]}, which there are not here; these rows suit "
            + ", ".join(suiting)
        )
    found = compare(list(suiting.values()), rows.inputs, rows.raw, rows.labels, rows.groups, folds=config.folds)
    print(comparison_table(found))
    chosen = found.best if config.method is Method.auto else wanted
    held = found.methods[chosen]
    for note in rows.notes:
        log.warning("%s", note)
    require_worth(chosen, held, found, force=config.force)
    fitted = suiting[chosen].fit(rows.inputs, rows.labels)
    if isinstance(fitted, (Davidson, DavidsonLength)) and fitted.scale <= 0:
        log.warning("scale %.4g: the higher scores are those of the worse responses here", fitted.scale)
    origin = {**rows.origin, "rows": len(rows.labels), "questions": len(np.unique(rows.groups)), "notes": [*rows.notes]}
    write_calibration(out, Calibration(fitted, origin, held_out(found)))
    report = out.with_name(f"{out.stem}-{REPORT}")
    write_text(report, _page(out, chosen, fitted, found, origin))
    print(_choice(chosen, held, found))
    print(f"calibration: {out}\nreport:      {report}")


def require_worth(chosen: str, held: HeldOut, found: Comparison, *, force: bool) -> None:
    """Raise CalibrationError for a method that can't be told from the prior on these rows, unless forced.

    Its difference to the prior must be below 0 with all of its 95 % interval: by chance alone, the uniform distribution
    or a few parameters more are often a little better than the shares of the labels.
    """
    if not held.to_prior.below_zero:
        said = (
            f"{chosen} is no better than the shares of the labels: its log loss on rows held out is "
            f"{held.log_loss:.5f}, theirs {found.prior.log_loss:.5f}, the difference {interval_text(held.to_prior)}"
        )
        if not force:
            raise CalibrationError(
                f"{said}. Nothing was written: label more rows or look at the run's report; calibrate.force=true takes "
                "it all the same"
            )
        log.warning("%s; written all the same, since calibrate.force=true", said)
    if held.to_raw.value >= 0:
        log.warning("%s is no better than the probabilities as they are, on rows held out", chosen)


def held_out(found: Comparison) -> dict[str, Any]:
    """A comparison as plain JSON."""

    def plain(held: HeldOut) -> dict[str, Any]:
        return {
            "log_loss": held.log_loss,
            "to_raw": interval_content(held.to_raw),
            "to_prior": interval_content(held.to_prior),
        }

    return {
        "folds": found.folds,
        "raw": found.raw.log_loss,
        "prior": found.prior.log_loss,
        "methods": {name: plain(held) for name, held in found.methods.items()},
    }


def _choice(chosen: str, held: HeldOut, found: Comparison) -> str:
    return (
        f"{chosen}: {interval_text(held.to_raw)} to the log loss of the probabilities as they are, on rows held out "
        f"({len(found.labels):,} rows, {len(np.unique(found.groups)):,} questions, {found.folds} folds)."
    )


def _page(out: Path, chosen: str, fitted: Calibrator, found: Comparison, origin: Mapping[str, Any]) -> str:
    shown = {"method": chosen, **fitted.parameters(), **origin}
    parameters = [(name, _text(value)) for name, value in shown.items()]
    return render_calibration(f"calibration: {out.name}", [_choice(chosen, held=found.methods[chosen], found=found)],
                              found, chosen, parameters)  # fmt: skip


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "\n".join(map(_text, value)) if value and isinstance(value[0], list) else ", ".join(map(_text, value))
    return str(value)
