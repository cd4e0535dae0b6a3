"""How a leaderboard is made of votes."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from lib.data.rows.style_counts import STYLE
from lib.errors import ConfigError
from lib.scoring.ranking.outcomes import RatingModel
from lib.scoring.ranking.points import Scale


class BothBad(Enum):  # members in lower case, since OmegaConf knows them by their names
    """What a vote that both answers are bad counts as."""

    tie = "tie"
    drop = "drop"


@dataclass(frozen=True, kw_only=True)
class LeaderboardConfig:
    """model: whose ratings. scale: points between systems of which one wins at odds of 10 to 1; the mean of the ratings
    is 1000 points, or `anchor` (NAME:POINTS) is where it says. both_bad: whether such votes are ties, or don't count.

    position: whether being shown first is a parameter. style: whether length, headers, lists and bold are (true, or a
    list of some of them), which takes the texts of the answers. category: a column; each of its values also gets a
    ranking of its own. baseline: the model against which win rates are told; null: the average of the others.
    bootstrap: refits, from which intervals are made instead of by formula; 0: none. seed: of these.
    """

    model: RatingModel = RatingModel.bradley_terry
    scale: float = 400.0
    anchor: str | None = None
    both_bad: BothBad = BothBad.tie
    position: bool = False
    style: Any = False
    category: str | None = None
    baseline: str | None = None
    bootstrap: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ConfigError(f"leaderboard.scale={self.scale:g}: must be above 0")
        _ = self.points, self.styles
        if self.bootstrap < 0 or self.bootstrap == 1 or self.bootstrap > 100_000:
            raise ConfigError(f"leaderboard.bootstrap={self.bootstrap}: must be 0, or from 2 to 100,000 refits")
        if self.seed < 0:
            raise ConfigError(f"leaderboard.seed={self.seed}: must not be negative")
        if self.seed and not self.bootstrap:
            raise ConfigError(
                f"leaderboard.seed={self.seed}: has no effect without leaderboard.bootstrap; leave it out"
            )
        if self.model is RatingModel.elo:
            for key in ("position", "style", "bootstrap"):
                if value := getattr(self, key):
                    shown = str(value).lower() if value is True else value
                    raise ConfigError(f"leaderboard.{key}={shown}: has no effect on model=elo; leave it out")

    @property
    def anchor_name(self) -> str | None:
        """The model whose rating is given."""
        return None if self.anchor is None else self.anchor.rpartition(":")[0]

    @property
    def points(self) -> Scale:
        """The scale. Raises ConfigError for an anchor that is none."""
        if self.anchor is None:
            return Scale(self.scale)
        name, _, points = self.anchor.rpartition(":")
        try:
            if not name or not abs(float(points)) < 1e9:
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"leaderboard.anchor={self.anchor}: must be NAME:POINTS, as in leaderboard.anchor=gpt-4:1000"
            ) from None
        return Scale(self.scale, float(points))

    @property
    def styles(self) -> tuple[str, ...]:
        """What of the answers' style are parameters, in the order of STYLE. Raises ConfigError for what there isn't."""
        if isinstance(self.style, bool):
            return STYLE if self.style else ()
        if not isinstance(self.style, list) or not self.style or not set(self.style) <= set(STYLE):
            raise ConfigError(f"leaderboard.style={self.style}: must be true, false or a list of some of {list(STYLE)}")
        return tuple(name for name in STYLE if name in self.style)
