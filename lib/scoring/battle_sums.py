"""The metrics of any number of battles, which are taken in block by block: only sums are kept."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lib.scoring.metrics import (
    ECE_BINS,
    BattleMetrics,
    Labels,
    PositionBias,
    Reliability,
    Scores,
    brier_scores,
    calibration_error,
    cohen_kappa,
    confidence_bins,
    confusion,
    log_probabilities,
    normalise,
    of_label,
    verdicts,
)
from lib.scoring.probabilities import FloatArray


class ScoreSums:
    """What the scores of rows are made of. rows: how many there were; confusion: [3, 3], as of `metrics.confusion`."""

    def __init__(self) -> None:
        self.rows = 0
        self.confusion = np.zeros((3, 3))
        self._log, self._hits, self._brier = 0.0, 0.0, 0.0
        self._bins = np.zeros((3, ECE_BINS))  # rows, and their sums of confidence and of accuracy

    def add(self, probabilities: FloatArray, labels: Labels) -> None:
        """Take in complete rows [n, 3] with their labels [n]."""
        self.rows += len(labels)
        self.confusion += confusion(probabilities, labels)
        self._log += float(log_probabilities(probabilities, labels).sum())
        self._hits += float(of_label(verdicts(normalise(probabilities)), labels).sum())
        self._brier += float(brier_scores(probabilities, labels).sum())
        self._bins += confidence_bins(probabilities, labels)

    @property
    def reliability(self) -> Reliability:
        """As of `metrics.reliability`."""
        return Reliability.of(self._bins)

    def scores(self) -> Scores:
        """The scores of all rows; there must be some."""
        kappa = cohen_kappa(self.confusion)
        return Scores(
            log_loss=-self._log / self.rows,
            accuracy=self._hits / self.rows,
            brier=self._brier / self.rows,
            ece=calibration_error(self.reliability),
            kappa=None if np.isnan(kappa) else kappa,
        )


class BiasSums:
    """What the position bias of rows is made of."""

    def __init__(self) -> None:
        self._rows = 0
        self._changed, self._first_minus_second, self._ties_ab, self._ties_ba = 0.0, 0.0, 0.0, 0.0

    def add(self, ab: FloatArray, ba: FloatArray) -> None:
        """Take in both orders' probabilities [n, 3], in terms of the original A and B; NaN where there are none."""
        both = ~(np.isnan(ab).any(axis=1) | np.isnan(ba).any(axis=1))
        ab, ba = normalise(ab[both]), normalise(ba[both])
        verdict_ab, verdict_ba = verdicts(ab), verdicts(ba)
        self._rows += len(ab)
        self._changed += float(((verdict_ab * verdict_ba).sum(axis=1) == 0).sum())
        self._first_minus_second += float(((ab[:, 0] - ab[:, 1]) + (ba[:, 1] - ba[:, 0])).sum())
        self._ties_ab += float(verdict_ab[:, 2].sum())
        self._ties_ba += float(verdict_ba[:, 2].sum())

    def bias(self) -> PositionBias | None:
        """The bias of all rows; None where no row has both orders."""
        if not self._rows:
            return None
        return PositionBias(
            rows=self._rows,
            changed=self._changed / self._rows,
            first_minus_second=self._first_minus_second / self._rows / 2,
            tie_rate_ab=self._ties_ab / self._rows,
            tie_rate_ba=self._ties_ba / self._rows,
        )


class BattleSums:
    """What the metrics of a run are made of. measured: of the rows that are scored and labelled."""

    def __init__(self) -> None:
        self.measured = ScoreSums()
        self._uniform = ScoreSums()
        self._rows = self._failed = self._labelled = 0

    def add(self, probabilities: FloatArray, labels: Labels) -> npt.NDArray[np.bool_]:
        """Take in probabilities [n, 3] (NaN rows where unscored) and labels [n] (-1 where unknown).

        Returns which rows [n] are measured.
        """
        assert probabilities.shape == (len(labels), 3)
        scored, labelled = ~np.isnan(probabilities).any(axis=1), labels >= 0
        self._rows += len(labels)
        self._failed += int((~scored).sum())
        self._labelled += int(labelled.sum())
        measured = np.asarray(scored & labelled, dtype=np.bool_)
        p, y = probabilities[measured], labels[measured]
        self.measured.add(p, y)
        self._uniform.add(np.broadcast_to(np.float64(1 / 3), p.shape), y)
        return measured

    def metrics(self) -> BattleMetrics:
        """The metrics of all rows."""
        metrics = BattleMetrics(
            rows=self._rows, failed=self._failed, labelled=self._labelled, measured=self.measured.rows
        )
        if not metrics.measured:
            return metrics
        scores = self.measured.scores()
        assert scores.log_loss is not None
        share = metrics.measured / metrics.labelled
        return replace(
            metrics,
            scores=scores,
            uniform=self._uniform.scores(),
            confusion=tuple(tuple(row) for row in self.measured.confusion.tolist()),
            log_loss_with_fallback=share * scores.log_loss + (1 - share) * float(np.log(3)),
        )
