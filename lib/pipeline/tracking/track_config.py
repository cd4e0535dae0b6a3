"""Where a run is tracked."""

from dataclasses import dataclass
from enum import Enum

from lib.errors import ConfigError


class Tracker(Enum):  # members in lower case, since OmegaConf knows them by their names
    """What keeps track of runs."""

    none = "none"
    wandb = "wandb"
    mlflow = "mlflow"
    trackio = "trackio"


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """by: what keeps track. project: that the run belongs to there, in MLflow its experiment.

    Accounts, servers and offline modes are each tracker's own matter: its variables say them.
    """

    by: Tracker = Tracker.none
    project: str = "overnight"

    def __post_init__(self) -> None:
        if not self.project:
            raise ConfigError("track.project: is empty; give a name, or leave it out")
