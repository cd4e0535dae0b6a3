"""Which calibrator to take: each is fitted on some questions and measured on the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.errors import InputError
from lib.scoring.calibrating.base import MINIMUM_ROWS, Calibrator, Inputs
from lib.scoring.calibrating.davidson import Davidson, DavidsonLength
from lib.scoring.calibrating.scaling import MatrixScaling, Stack, VectorScaling
from lib.scoring.calibrating.temperature import OrderBias, Temperature, TemperatureTie
from lib.scoring.inference.estimates import Estimate, clustered_mean
from lib.scoring.metrics import Labels, log_loss, log_probabilities
from lib.scoring.probabilities import FloatArray, IntArray

METHODS: Sequence[type[Calibrator]] = (
    Temperature, TemperatureTie, Davidson, OrderBias, DavidsonLength, VectorScaling, MatrixScaling, Stack,
)  # fmt: skip
"""All of them, the simplest first."""

Groups = npt.NDArray[np.uint64]


def folds_of(groups: Groups, folds: int) -> IntArray:
    """The fold [n] of each row, 0 to folds - 1, by its group's hash alone: the order of rows changes nothing."""
    return np.asarray(groups % np.uint64(folds), dtype=np.int64)


def every(rows: int, folds: int = 5) -> IntArray:
    """Folds that are rows k::folds, for rows that do not depend on each other."""
    return np.arange(rows, dtype=np.int64) % folds


def held_out(
    fit: Callable[[npt.NDArray[np.bool_]], Callable[[npt.NDArray[np.bool_]], FloatArray]], fold: IntArray
) -> FloatArray:
    """Probabilities [n, 3] of each row by what was fitted on the rows of the other folds [n].

    fit: fitted on a mask of rows, gives what applies it to another.
    """
    found = np.full((len(fold), 3), np.nan)
    for k in np.unique(fold):
        test = fold == k
        found[test] = fit(~test)(test)
    return found


def held_out_of(method: type[Calibrator], inputs: Inputs, labels: Labels, fold: IntArray) -> FloatArray:
    """The same of a calibrator."""

    def fit(train: npt.NDArray[np.bool_]) -> Callable[[npt.NDArray[np.bool_]], FloatArray]:
        fitted = method.fit(inputs.take(train), labels[train])
        return lambda test: fitted.apply(inputs.take(test))

    return held_out(fit, fold)


def held_out_loss(method: type[Calibrator], inputs: Inputs, labels: Labels) -> float:
    """Log loss of rows that the parameters were not fitted on; the folds are rows k::5."""
    return log_loss(held_out_of(method, inputs, labels, every(len(labels))), labels)


def held_out_prior(labels: Labels, fold: IntArray) -> FloatArray:
    """Shares of the labels in the other folds, as the probabilities [n, 3] of each row (one of each is added)."""

    def fit(train: npt.NDArray[np.bool_]) -> Callable[[npt.NDArray[np.bool_]], FloatArray]:
        counts = np.bincount(labels[train], minlength=3) + 1.0
        return lambda test: np.tile(counts / counts.sum(), (int(test.sum()), 1))

    return held_out(fit, fold)


@dataclass(frozen=True)
class HeldOut:
    """How a method does on rows that it was not fitted on.

    losses: [n], -ln P(label). to_raw, to_prior: its log loss minus that of the raw probabilities, and of the shares of
    the labels; below 0 is better.
    """

    probabilities: FloatArray
    losses: FloatArray
    to_raw: Estimate
    to_prior: Estimate

    @property
    def log_loss(self) -> float:
        """Mean of the losses."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class Comparison:
    """What each method is worth. methods: by name, the simplest first. groups: [n], the question of each row."""

    labels: Labels
    groups: Groups
    folds: int
    raw: HeldOut
    prior: HeldOut
    methods: Mapping[str, HeldOut]

    @property
    def best(self) -> str:
        """The simplest method that can't be told from the one with the lowest loss.

        The one-standard-error rule (Breiman et al. 1984), with the standard error of the difference between the two on
        the same rows.
        """
        lowest = min(self.methods.values(), key=lambda held: held.log_loss)
        for name, held in self.methods.items():
            behind = clustered_mean(held.losses - lowest.losses, self.groups)
            if held is lowest or (behind.error is not None and behind.value <= behind.error):
                return name
        raise AssertionError("the lowest is among them")


def compare(
    methods: Sequence[type[Calibrator]],
    inputs: Inputs,
    raw: FloatArray,
    labels: Labels,
    groups: Groups,
    *,
    folds: int = 5,
    fold: IntArray | None = None,
) -> Comparison:
    """Cross-fit methods on complete rows [n] with labels, by questions.

    raw: [n, 3], the probabilities as they are. groups: [n], equal for rows about one question. fold: [n], in place of
    that of each group. Raises InputError where too few rows are left to fit on beside some fold.
    """
    fold = folds_of(groups, folds) if fold is None else fold
    require_folds(fold, groups)
    prior = held_out_prior(labels, fold)
    losses = [-log_probabilities(found, labels) for found in (raw, prior)]

    def measured(probabilities: FloatArray) -> HeldOut:
        own = -log_probabilities(probabilities, labels)
        return HeldOut(probabilities, own, *(clustered_mean(own - other, groups) for other in losses))

    return Comparison(
        labels=labels,
        groups=groups,
        folds=len(np.unique(fold)),
        raw=measured(raw),
        prior=measured(prior),
        methods={method.name: measured(held_out_of(method, inputs, labels, fold)) for method in methods},
    )


def require_folds(fold: IntArray, groups: npt.NDArray[Any]) -> None:
    """Raise InputError where there is but one fold, or too few rows beside one of them."""
    rows, questions = len(fold), len(np.unique(groups))
    left = rows - int(np.bincount(fold).max(initial=0)) if rows else 0
    if left < MINIMUM_ROWS:
        raise InputError(
            f"{rows:,} labelled rows about {questions:,} questions: each fold leaves some questions out, and at least "
            f"{MINIMUM_ROWS} rows about others must remain to fit on; there is one that leaves {left}. Label more rows"
        )
