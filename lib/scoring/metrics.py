"""How good a battle's probabilities are, beside the uniform prior. Class order A, B, tie; labels 0, 1, 2.

The single metrics take complete rows (no NaN, no unknown label, at least one) and normalise them first;
`battle_sums` picks those rows out of a run.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.scoring.inference.estimates import Estimate
from lib.scoring.probabilities import FloatArray

Labels = npt.NDArray[np.integer[Any]]

ECE_BINS = 15

# Classes this close to the largest share the verdict. A submission has 6 decimals, so that equal probabilities can
# lie a millionth apart there; a run and its submission should have the same accuracy.
_TIED = 1.5e-6


def normalise(probabilities: FloatArray) -> FloatArray:
    """Rows [n, k] divided by their sums."""
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True), dtype=np.float64)


def verdicts(probabilities: FloatArray) -> FloatArray:
    """[n, 3] with 1 at the most probable class; classes that tie for it share the 1 equally.

    Sharing gives the expected value under a fair draw: the uniform prior has accuracy 1/3 and kappa 0. Taking the
    first class instead (argmax) would give it the share of A among the labels, which says nothing about the prior.
    """
    top = probabilities >= probabilities.max(axis=1, keepdims=True) - _TIED
    return np.asarray(top / top.sum(axis=1, keepdims=True), dtype=np.float64)


def log_probabilities(probabilities: FloatArray, labels: Labels) -> FloatArray:
    """ln P(label) [n], clipped to [eps, 1 - eps] (eps of float64) after normalising, as scikit-learn clips."""
    eps = np.finfo(np.float64).eps
    return np.asarray(np.log(np.clip(of_label(normalise(probabilities), labels), eps, 1 - eps)), dtype=np.float64)


def log_loss(probabilities: FloatArray, labels: Labels) -> float:
    """Mean -ln P(label)."""
    return float(-log_probabilities(probabilities, labels).mean())


def accuracy(probabilities: FloatArray, labels: Labels) -> float:
    """Share of labels that are the verdict, in [0, 1]; tied verdicts count in part (see `verdicts`)."""
    return float(of_label(verdicts(normalise(probabilities)), labels).mean())


def brier_scores(probabilities: FloatArray, labels: Labels) -> FloatArray:
    """Brier's (1950) score [n]: squared distance to the one-hot label, summed over classes; 0 (best) to 2."""
    p = normalise(probabilities)
    return np.asarray((p**2).sum(axis=1) - 2 * of_label(p, labels) + 1, dtype=np.float64)


def brier(probabilities: FloatArray, labels: Labels) -> float:
    """Mean Brier score; that of the uniform prior is 2/3."""
    return float(brier_scores(probabilities, labels).mean())


@dataclass(frozen=True)
class Reliability:
    """Rows binned by the probability of their verdict; three arrays [bins], NaN means where a bin is empty."""

    confidence: FloatArray
    accuracy: FloatArray
    count: npt.NDArray[np.int64]

    @staticmethod
    def of(bins: FloatArray) -> "Reliability":
        """Of the sums that `confidence_bins` gives, of one or more blocks of rows."""
        count = bins[0].astype(np.int64)
        with np.errstate(invalid="ignore"):
            return Reliability(bins[1] / count, bins[2] / count, count)


def confidence_bins(probabilities: FloatArray, labels: Labels, *, bins: int = ECE_BINS) -> FloatArray:
    """Rows per bin of top-label confidence, and their sums of confidence and accuracy: [3, bins].

    Bins of equal widths: ((i-1)/bins, i/bins] over (0, 1].
    """
    p = normalise(probabilities)
    confidence, hit = p.max(axis=1), of_label(verdicts(p), labels)
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    sums = [np.bincount(bin_of, weights=weights, minlength=bins) for weights in (None, confidence, hit)]
    return np.array(sums, dtype=np.float64)


def reliability(probabilities: FloatArray, labels: Labels, *, bins: int = ECE_BINS) -> Reliability:
    """Mean confidence and accuracy per bin of top-label confidence, of `confidence_bins`."""
    return Reliability.of(confidence_bins(probabilities, labels, bins=bins))


def calibration_error(found: Reliability) -> float:
    """Mean |confidence - accuracy| over bins, weighted by rows: Guo et al. 2017, in [0, 1]."""
    return float(np.nansum(np.abs(found.confidence - found.accuracy) * found.count) / found.count.sum())


def confusion(probabilities: FloatArray, labels: Labels) -> FloatArray:
    """Rows [3, 3] by label (down) and verdict (across); tied verdicts count in part, so entries may be fractions."""
    return np.asarray(np.eye(3)[labels].T @ verdicts(normalise(probabilities)), dtype=np.float64)


def cohen_kappa(matrix: FloatArray) -> float:
    """Agreement of verdict and label beyond chance, from `confusion`; at most 1, 0 is chance.

    NaN where it is undefined: chance alone already agrees on every row. Cohen 1960.
    """
    total = matrix.sum()
    by_chance = float(matrix.sum(axis=0) @ matrix.sum(axis=1) / total**2)
    return float("nan") if by_chance == 1 else (float(np.trace(matrix) / total) - by_chance) / (1 - by_chance)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The five scores of one set of probabilities; None where there was nothing to measure them on."""

    log_loss: float | None = None
    accuracy: float | None = None
    brier: float | None = None
    ece: float | None = None
    kappa: float | None = None


@dataclass(frozen=True, kw_only=True)
class PositionBias:
    """How much the order of presentation matters, on the rows scored in both orders.

    A diagnostic: rows whose orders disagree are not thereby ties.

    rows: rows scored in both orders.
    changed: share of rows whose verdict changes with the order (no class is on top in both).
    first_minus_second: mean P(first shown wins) - P(second shown wins), in [-1, 1]; 0 is unbiased.
    tie_rate_ab, tie_rate_ba: share of verdicts that are ties, by order.
    """

    rows: int
    changed: float
    first_minus_second: float
    tie_rate_ab: float
    tie_rate_ba: float


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """The 95 % intervals of a run's figures, by name: of `scores` and of `position_bias`; those that there are.

    by: `question`, or `row` where it is unknown which rows are about one question. clusters: how many of these the
    scores rest on, as far as they are told apart (`clusters.MOST_CLUSTERS`).
    """

    by: str = "row"
    clusters: int = 0
    found: Mapping[str, Estimate] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        ends = {name: {"low": one.low, "high": one.high} for name, one in self.found.items()}
        return {"by": self.by, "clusters": self.clusters, **ends}


@dataclass(frozen=True, kw_only=True)
class BattleMetrics:
    """A run's scores beside those of the uniform prior [1/3, 1/3, 1/3] on the same rows, and what they rest on.

    rows: all rows; failed: those without probabilities; labelled: those with a known label; measured: scored and
    labelled, the rows behind `scores`, `uniform` and `confusion` [3][3].
    log_loss_with_fallback: on all labelled rows, with the uniform prior where a row failed.
    label_mass: mean probability of the labels before renormalising.
    davidson_fit, temperature_fit: fitted parameters and their cross-validated `log_loss`.
    """

    rows: int
    failed: int
    labelled: int
    measured: int
    scores: Scores = Scores()
    uniform: Scores = Scores()
    intervals: Intervals = Intervals()
    confusion: tuple[tuple[float, ...], ...] | None = None
    log_loss_with_fallback: float | None = None
    label_mass: float | None = None
    position_bias: PositionBias | None = None
    davidson_fit: Mapping[str, float] | None = None
    temperature_fit: Mapping[str, float] | None = None

    @property
    def coverage(self) -> float | None:
        """Scored rows / rows; None without rows."""
        return (self.rows - self.failed) / self.rows if self.rows else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values (never NaN). The last four fields are there only when they are known."""
        base = {"coverage": self.coverage, "rows": self.rows, "failed": self.failed}
        known = {
            "label_mass": self.label_mass,
            "position_bias": asdict(self.position_bias) if self.position_bias else None,
            "davidson_fit": dict(self.davidson_fit) if self.davidson_fit else None,
            "temperature_fit": dict(self.temperature_fit) if self.temperature_fit else None,
        }
        return {
            **asdict(self.scores),
            **base,
            "labelled": self.labelled,
            "measured": self.measured,
            "log_loss_with_fallback": self.log_loss_with_fallback,
            "confusion": [list(row) for row in self.confusion] if self.confusion else None,
            "uniform": {**asdict(self.uniform), **base},
            "intervals": self.intervals.to_dict(),
            **{key: value for key, value in known.items() if value is not None},
        }


def of_label(values: FloatArray, labels: Labels) -> FloatArray:
    """The value [n] of each row's own label."""
    return np.take_along_axis(values, labels[:, None].astype(np.intp), axis=1)[:, 0]
