"""How far several annotators agree beyond chance: Cohen's, weighted and Fleiss's kappa, Krippendorff's alpha.

Each is a function of totals over items, so that it has an interval as other figures do (`inference/estimates.py`).
Categories are numbered in their order, where they have one; `values` [k] say how far they lie from each other.
"""

from collections.abc import Callable
from enum import Enum

import numpy as np
import numpy.typing as npt

from lib.scoring.probabilities import FloatArray

Figure = Callable[[FloatArray], FloatArray]
"""Totals [..., width] -> [...]; NaN where chance explains all."""


class Scale(Enum):
    """What two ratings differ by: that they do; how many ratings lie between them; how far they are apart."""

    nominal = "nominal"
    ordinal = "ordinal"
    interval = "interval"


class Weights(Enum):
    """How much a disagreement weighs: all alike, by the distance of categories, or by its square."""

    none = "none"
    linear = "linear"
    quadratic = "quadratic"


def cohen(categories: int, weights: Weights = Weights.none) -> Figure:
    """Kappa of two annotators for totals [..., k * k]: how often the first chose each category (down) where the second
    chose each (across).

    Cohen 1960; weighted, by the places of categories in their order: Cohen, Weighted kappa (Psychol. Bulletin 1968).
    """
    distance = np.abs(np.subtract.outer(np.arange(categories), np.arange(categories))).astype(np.float64)
    cost = {Weights.none: (distance > 0) * 1.0, Weights.linear: distance, Weights.quadratic: distance**2}[weights]

    def kappa(totals: FloatArray) -> FloatArray:
        table = totals.reshape(*totals.shape[:-1], categories, categories)
        by_chance = table.sum(axis=-1)[..., :, None] * table.sum(axis=-2)[..., None, :]
        found, expected = ((part * cost).sum(axis=(-1, -2)) for part in (table, by_chance))
        return 1 - _divided(found * table.sum(axis=(-1, -2)), expected)

    return kappa


def paired_rows(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], categories: int) -> FloatArray:
    """[n, k * k] what items with the categories [n] of two annotators add to the totals of `cohen`."""
    return np.asarray(np.eye(categories * categories)[first * categories + second])


def fleiss(totals: FloatArray) -> FloatArray:
    """Kappa of any annotators, equally many for each item, for totals [..., 1 + k] of `fleiss_rows`.

    Fleiss, Measuring nominal scale agreement among many raters (Psychological Bulletin 1971).
    """
    items = totals[..., 1:].sum(axis=-1)
    agreed, by_chance = totals[..., 0] / items, ((totals[..., 1:] / items[..., None]) ** 2).sum(axis=-1)
    return 1 - _divided(1 - agreed, 1 - by_chance)


def fleiss_rows(counts: FloatArray) -> FloatArray:
    """[n, 1 + k] of items with so many ratings [n, k] in each category, at least two: the share of pairs of ratings
    that agree, and the shares of categories."""
    ratings = counts.sum(axis=1)
    agreed = (counts * (counts - 1)).sum(axis=1) / (ratings * (ratings - 1))
    return np.column_stack([agreed, counts / ratings[:, None]])


def krippendorff(values: FloatArray, scale: Scale) -> Figure:
    """Alpha of any annotators, some of whose ratings may be missing, for totals [..., k * k] of `coincidences`.

    values: [k] ascending; they count on the interval scale. Krippendorff, Computing Krippendorff's alpha-reliability
    (University of Pennsylvania, 2011).
    """
    k = len(values)
    apart = np.subtract.outer(values, values) ** 2 if scale is Scale.interval else 1.0 - np.eye(k)

    def alpha(totals: FloatArray) -> FloatArray:
        table = totals.reshape(*totals.shape[:-1], k, k)
        often = table.sum(axis=-1)
        distance = _ordinal(often) if scale is Scale.ordinal else apart
        pairs = often[..., :, None] * often[..., None, :]
        found, expected = ((part * distance).sum(axis=(-1, -2)) for part in (table, pairs))
        return 1 - _divided(found * (often.sum(axis=-1) - 1), expected)

    return alpha


def coincidences(counts: FloatArray) -> FloatArray:
    """[n, k * k] what items with so many ratings [n, k] in each category, at least two, add to the coincidences: pairs
    of ratings, each divided by the item's ratings less one."""
    n, k = counts.shape
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, np.arange(k), np.arange(k)] -= counts
    return np.asarray((pairs / (counts.sum(axis=1) - 1)[:, None, None]).reshape(n, k * k))


def _ordinal(often: FloatArray) -> FloatArray:
    """Squared distances [..., k, k] on the ordinal scale: the ratings between two categories, half of their own among
    them. often: [..., k] ratings in each."""
    middle = often.cumsum(axis=-1) - often / 2
    return np.asarray((middle[..., :, None] - middle[..., None, :]) ** 2)


def _divided(above: FloatArray, below: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(np.abs(below) > 1e-12, above / below, np.nan))
