"""What is measured in a run of battles, block by block, so that memory is the same for however many rows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np

from lib.report.predictions import Failure, Predictions
from lib.scoring.battle_sums import BattleSums, BiasSums
from lib.scoring.calibration import (
    apply_davidson,
    apply_temperature,
    cross_validated_log_loss,
    fit_davidson,
    fit_temperature,
)
from lib.scoring.metrics import BattleMetrics, Labels, Reliability, normalise
from lib.scoring.probabilities import FloatArray, average_orders

_FIT_FROM_ROWS = 50
_FIT_UP_TO_ROWS = 200_000  # three parameters are long settled by then
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
    sums, bias, sample = BattleSums(), BiasSums(), _Sample()
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
            sample.add(labels, _mean_of_orders(block.ab[measured], None if block.ba is None else block.ba[measured]))
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


class _Sample:
    """Rows that come block by block: all of them, or every second, fourth, … so that they are not too many."""

    def __init__(self) -> None:
        self._labels: list[Labels] = []
        self._columns: list[tuple[FloatArray, ...]] = []
        self._step, self._seen = 1, 0

    def add(self, labels: Labels, *columns: FloatArray) -> None:
        """Take in some rows."""
        first = -self._seen % self._step
        self._seen += len(labels)
        kept = slice(first, None, self._step)  # copied, since a view would keep all the others in memory
        self._labels.append(labels[kept].copy())
        self._columns.append(tuple(column[kept].copy() for column in columns))
        while sum(map(len, self._labels)) > _FIT_UP_TO_ROWS:
            self._step *= 2
            self._labels, self._columns = [self.labels[::2]], [tuple(column[::2] for column in self.columns)]

    @property
    def labels(self) -> Labels:
        """Those of the rows that were kept, which are evenly spread over all."""
        return np.concatenate(self._labels)

    @property
    def columns(self) -> list[FloatArray]:
        """The columns of the same rows."""
        return [np.concatenate(parts) for parts in zip(*self._columns, strict=True)]

    @property
    def note(self) -> dict[str, float]:
        """How many rows were kept, where these are not all."""
        return {} if self._step == 1 else {"sample": len(self.labels)}


def _fit_davidson(metrics: BattleMetrics, sample: _Sample) -> BattleMetrics:
    score_a, score_b = sample.columns
    held_out = cross_validated_log_loss(fit_davidson, apply_davidson, (score_a, score_b), sample.labels)
    fit = {**asdict(fit_davidson(score_a, score_b, sample.labels)), "log_loss": held_out, **sample.note}
    return replace(metrics, davidson_fit=fit)


def _mean_of_orders(ab: FloatArray, ba: FloatArray | None) -> FloatArray:
    """[n, 3], whatever the run's own rule has made of it; A first alone where nothing else was asked."""
    return ab if ba is None or np.isnan(ba).all() else average_orders(ab, ba)


def _fit_temperature(metrics: BattleMetrics, sample: _Sample) -> BattleMetrics:
    (p,) = sample.columns
    held_out = cross_validated_log_loss(fit_temperature, apply_temperature, (p,), sample.labels)
    fit = {**asdict(fit_temperature(p, sample.labels)), "log_loss": held_out, **sample.note}
    return replace(metrics, temperature_fit=fit)
