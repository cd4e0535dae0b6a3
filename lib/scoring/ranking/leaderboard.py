"""A leaderboard: ratings as points, best first, and what they rest on, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lib.errors import ConfigError
from lib.scoring.probabilities import FloatArray
from lib.scoring.ranking.outcomes import RatingModel
from lib.scoring.ranking.points import Scale
from lib.scoring.ranking.ratings import Estimate, Ratings

POSITION = "position"
_TIE_PARAMETER = {RatingModel.davidson: "nu", RatingModel.rao_kupper: "theta"}


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """Ratings on a scale. baseline: against whom win rates are told; None: the average of the others.

    resamples: from how many refits the intervals are; 0: by formula. left_out: why votes don't count, and how many.
    without: covariates that were asked for and are the same in all votes.
    """

    ratings: Ratings
    scale: Scale
    anchor: str | None = None
    baseline: str | None = None
    resamples: int = 0
    left_out: Mapping[str, int]
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.baseline is not None and self.baseline not in self.ratings.names:
            known = ", ".join(self.ratings.names[:50])
            raise ConfigError(f"leaderboard.baseline={self.baseline}: no such model; there are {known}")

    @property
    def names(self) -> list[str]:
        """Best first."""
        return [self.ratings.names[i] for i in self.ratings.order]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Best first: model, rating, low and high (95 %), rank_low and rank_high, votes; null where there is no
        interval."""
        found, points = self.ratings, self.scale.points
        return [
            {
                "model": found.names[i],
                "rating": float(points(found.ratings[i])),
                "low": _number(points(found.low[i])),
                "high": _number(points(found.high[i])),
                "rank_low": _whole(found.rank_low[i]),
                "rank_high": _whole(found.rank_high[i]),
                "votes": int(found.counts[i]),
            }
            for i in found.order
        ]

    @property
    def win_rates(self) -> FloatArray:
        """[s], best first: expected share of votes against the baseline, or the mean against each other model; a tie is
        half a win, and NaN is the baseline against itself."""
        rates = self.ratings.win_rates
        if self.baseline is None:
            return np.asarray(np.nanmean(rates, axis=1)[self.ratings.order])
        return np.asarray(rates[self.ratings.order, self.ratings.names.index(self.baseline)])

    def chances(self, outcome: int = 0) -> FloatArray:
        """[s, s], best first: probability that the row's model beats the column's (2: that they tie)."""
        order = self.ratings.order
        return np.asarray(self.ratings.outcomes[np.ix_(order, order)][..., outcome])

    def content(self) -> dict[str, Any]:
        """For `metrics.json`."""
        found = self.ratings
        coefficients = {name: _estimate(value) for name, value in found.coefficients.items()}
        position = coefficients.pop(POSITION, None)
        with_ties = found.tie is not None
        return {
            "model": found.model.value,
            "scale": self.scale.tenfold,
            "anchor": self.anchor,
            "models": len(found.names),
            "votes": found.votes,
            "questions": found.questions,
            "ties": _whole_if(found.ties),
            "left_out": dict(self.left_out),
            "intervals": self.intervals,
            "resamples": self.resamples,
            "tie_parameter": None
            if found.tie_parameter is None
            else {"name": _TIE_PARAMETER[found.model], **_estimate(found.tie_parameter)},
            "position_bias": position,
            "style": {**coefficients, **dict.fromkeys(self.without)},
            "regularised": found.regularised,
            "undefeated": [found.names[i] for i in found.extremes.undefeated],
            "winless": [found.names[i] for i in found.extremes.winless],
            "baseline": self.baseline,
            "win_rates": dict(zip(self.names, map(_number, self.win_rates), strict=True)),
            "win_probabilities": {"models": self.names, "rows": _matrix(self.chances())},
            "tie_probabilities": {"models": self.names, "rows": _matrix(self.chances(2))} if with_ties else None,
        }

    @property
    def intervals(self) -> str | None:
        """How they were made: bootstrap, or clustered by question; None where there are none."""
        if np.isnan(self.ratings.low).all():
            return None
        return "bootstrap" if self.resamples else "clustered"

    @property
    def notes(self) -> list[str]:
        """What must be said about it."""
        found = self.ratings
        about = "" if found.questions is None else f" about {found.questions:,} questions"
        lines = [f"{found.votes:,} votes between {len(found.names):,} models{about} count."]
        if self.left_out:
            lines.append(f"Left out: {', '.join(f'{count:,} {why}' for why, count in self.left_out.items())}.")
        if found.model is RatingModel.elo:
            lines.append("Elo's ratings depend on the order of the votes, and have no intervals.")
        elif found.questions is None:
            lines.append("There is no column of questions, so each vote counts as one of its own.")
        elif found.questions == 1:
            lines.append("One question says nothing about others, so there are no intervals.")
        held = "" if found.model is RatingModel.elo else "; how far apart they are, only a weak prior bounds"
        for what, which in (("never lost", found.extremes.undefeated), ("never won", found.extremes.winless)):
            if which:
                named = ", ".join(found.names[i] for i in which[:20]) + (", …" if len(which) > 20 else "")
                lines.append(f"Against all others, {named} {what}{held}.")
        if found.regularised and not (found.extremes.undefeated or found.extremes.winless):
            lines.append("These votes alone would make some parameter infinite; a weak prior holds it.")
        if self.without:
            lines.append(f"The same in all votes, and so without effect: {', '.join(self.without)}.")
        return lines


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {name: _number(value) for name, value in vars(estimate).items()}


def _matrix(values: FloatArray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else round(value, 6) for value in row] for row in values.tolist()]


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _whole(value: float) -> int | None:
    return None if np.isnan(value) else int(value)


def _whole_if(value: float) -> float:
    return int(value) if value == int(value) else value
