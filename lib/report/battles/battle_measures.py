"""What is measured in a run of battles, block by block, so that memory is the same for however many rows."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lib.report.failures import count_reasons
from lib.report.predictions import Failure, Predictions
from lib.scoring.battle_sums import BattleSums, BiasSums
from lib.scoring.calibrating.base import Calibrator, Inputs
from lib.scoring.calibrating.choosing import held_out_loss
from lib.scoring.calibrating.davidson import Davidson
from lib.scoring.calibrating.temperature import TemperatureTie
from lib.scoring.inference.battle_intervals import SCORES, BiasClusters, ScoreClusters
from lib.scoring.inference.estimates import row_keys
from lib.scoring.metrics import BattleMetrics, Intervals, Reliability, normalise
from lib.scoring.probabilities import mean_of_orders
from lib.scoring.row_sample import Sample

_FIT_FROM_ROWS = 50


@dataclass(frozen=True)
class Measured:
    """What a report shows. reasons: how many rows failed for each; failures: the first failed rows."""

    metrics: BattleMetrics
    reliability: Reliability
    reasons: Counter[str]
    failures: tuple[Failure, ...]


def measure(blocks: Iterable[Predictions]) -> Measured:
    """All metrics of a run; Davidson (rewards) or temperature (a judge) is fitted from 50 measured rows on.

    blocks: its rows, part by part. The fits are of a sample where there are more than 200,000 measured rows.
    """
    sums, bias, sample = BattleSums(), BiasSums(), Sample()
    intervals = _Intervals()
    reasons, failures = Counter[str](), tuple[Failure, ...]()
    mass, masses, hard = 0.0, 0, True
    fit = None
    for block in blocks:
        measured = sums.add(block.probabilities, block.labels)
        p, labels = block.probabilities[measured], block.labels[measured]
        intervals.add(block, measured)
        hard = hard and bool(np.isin(normalise(p), (0, 0.5, 1)).all())
        if block.label_mass is not None:
            mass += float(np.nansum(block.label_mass))
            masses += int((~np.isnan(block.label_mass)).sum())
        if block.ab is not None and block.ba is not None:
            bias.add(block.ab, block.ba)
        if block.score_a is not None and block.score_b is not None:
            fit = _fit_davidson
            sample.add(labels, block.score_a[measured], block.score_b[measured])
        elif block.ab is not None:
            fit = _fit_temperature
            sample.add(labels, mean_of_orders(block.ab[measured], None if block.ba is None else block.ba[measured]))
        reasons = count_reasons(reasons, block.reasons)
        failures = failures or block.failures
    metrics = replace(
        sums.metrics(),
        label_mass=mass / masses if masses else None,
        position_bias=bias.bias(),
        intervals=intervals.found(without=("log_loss",) if hard else ()),
    )
    if metrics.measured and hard:
        metrics = replace(metrics, scores=replace(metrics.scores, log_loss=None, ece=None), log_loss_with_fallback=None)
    elif metrics.measured >= _FIT_FROM_ROWS and fit is not None:
        metrics = fit(metrics, sample)
    return Measured(metrics, sums.measured.reliability, reasons, failures)


class _Intervals:
    """The intervals of rows that come block by block."""

    def __init__(self) -> None:
        self._scores, self._bias = ScoreClusters(), BiasClusters()
        self._rows, self._by_question = 0, False

    def add(self, block: Predictions, measured: npt.NDArray[np.bool_]) -> None:
        """Take in some rows. measured: [n] which are scored and labelled."""
        self._by_question |= block.questions is not None
        keys = row_keys(self._rows, len(measured)) if block.questions is None else block.questions
        self._rows += len(measured)
        self._scores.add(keys[measured], block.probabilities[measured], block.labels[measured])
        if block.ab is not None and block.ba is not None:
            self._bias.add(keys, block.ab, block.ba)

    def found(self, without: Collection[str]) -> Intervals:
        """Those of all rows. without: scores that have none."""
        scores = self._scores.estimates([name for name in SCORES if name not in without])
        by = "question" if self._by_question else "row"
        return Intervals(by=by, clusters=len(self._scores), found={**scores, **self._bias.estimates()})


def _fit_davidson(metrics: BattleMetrics, sample: Sample) -> BattleMetrics:
    score_a, score_b = sample.columns
    inputs = Inputs(score_a=score_a, score_b=score_b)
    return replace(metrics, davidson_fit=_fit(Davidson, inputs, sample))


def _fit_temperature(metrics: BattleMetrics, sample: Sample) -> BattleMetrics:
    (p,) = sample.columns
    return replace(metrics, temperature_fit=_fit(TemperatureTie, Inputs(probabilities=p), sample))


def _fit(method: type[Calibrator], inputs: Inputs, sample: Sample) -> dict[str, float]:
    fitted = method.fit(inputs, sample.labels).parameters()
    return {**fitted, "log_loss": held_out_loss(method, inputs, sample.labels), **sample.note}
