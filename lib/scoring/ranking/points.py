"""Ratings as points, such as Elo's."""

from dataclasses import dataclass

import numpy as np

from lib.scoring.probabilities import FloatArray


@dataclass(frozen=True)
class Scale:
    """tenfold: points between two systems of which one wins at odds of 10 to 1. origin: points of the rating 0."""

    tenfold: float = 400.0
    origin: float = 1000.0

    def points(self, ratings: FloatArray) -> FloatArray:
        """Log-odds [...] as points."""
        return np.asarray(self.origin + self.tenfold / np.log(10) * ratings)
