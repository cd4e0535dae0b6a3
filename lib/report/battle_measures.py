"""What is measured in a run of battles, block by block, so that memory is the same for however many rows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from lib.report.predictions import Failure, Predictions
from lib.scoring.battle_sums import BattleSums, BiasSums
from lib.scoring.calibrating.base import Calibrator, Inputs
from lib.scoring.calibrating.choosing import held_out_loss
from lib.scoring.calibrating.davidson import Davidson
from lib.scoring.calibrating.temperature import TemperatureTie
from lib.scoring.metrics import BattleMetrics, Reliability, normalise
from lib.scoring.probabilities import mean_of_orders
from lib.scoring.sample import Sample

_FIT_FROM_ROWS = 50
_MOST_REASONS = 10_000  # of which the most frequent are kept


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
    reasons, failures = Counter[str](), tuple[Failure, ...]()
    mass, masses, hard = 0.0, 0, True
    fit = None
    for block in blocks:
        measured = sums.add(block.probabilities, block.labels)
        p, labels = block.probabilities[measured], block.labels[measured]
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
        reasons.update(block.reasons)
        if len(reasons) > _MOST_REASONS:
            reasons = Counter(dict(reasons.most_common(_MOST_REASONS // 2)))
        failures = failures or block.failures
    metrics = replace(sums.metrics(), label_mass=mass / masses if masses else None, position_bias=bias.bias())
    if metrics.measured and hard:
        metrics = replace(metrics, scores=replace(metrics.scores, log_loss=None, ece=None), log_loss_with_fallback=None)
    elif metrics.measured >= _FIT_FROM_ROWS and fit is not None:
        metrics = fit(metrics, sample)
    return Measured(metrics, sums.measured.reliability, reasons, failures)


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
