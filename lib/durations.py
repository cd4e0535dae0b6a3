"""Durations, speeds and numbers of things as people write them."""

import re

from lib.errors import ConfigError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str, key: str) -> float:
    """Seconds of a text such as 90m or 1.5h. Raises ConfigError, naming the config's `key`, for any other."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None or not float(found[1]):
        raise ConfigError(f"{key}={text}: must be a number and s, m, h or d, as in 90m, 9h or 1.5h")
    return float(found[1]) * _SECONDS[found[2]]


def shown(seconds: float) -> str:
    """A duration to read: 0.4 s, 12 s, 34 min, 5.6 h."""
    if seconds < 9.5:
        return f"{seconds:.2g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def count(number: int, what: str) -> str:
    """A number of things: 1 shard, 2,000 shards."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def pace(rate: float) -> str:
    """A speed in rows a second, to read: 12.3 rows/s, or, where that is less than one, 2.1 s/row."""
    return f"{rate:,.1f} rows/s" if rate >= 1 else f"{shown(1 / rate)}/row"
