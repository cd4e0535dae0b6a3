"""The numbers of `metrics.json`, each with one name: for cards and trackers, which know no nesting."""

import math
from collections.abc import Mapping
from typing import Any


def flat_figures(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Finite numbers by dotted name: {"engine": {"tokens": 3}} is {"engine.tokens": 3.0}. Lists are left out."""
    found: dict[str, float] = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            found |= flat_figures(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            found[f"{prefix}{key}"] = float(value)
    return found
