import pytest

from lib.durations import pace, parse_duration, shown
from lib.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5400), ("9h", 32400), ("1.5h", 5400), ("2d", 172800)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text, "plan.deadline") == seconds


@pytest.mark.parametrize("text", ["", "9", "h", "-1h", "1h30m", "0h", "9 h", "1,5h", "nine"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"plan\.deadline={text}: must be a number .* 1\.5h"):
        parse_duration(text, "plan.deadline")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.36, "0.36 s"), (9.4, "9.4 s"), (12.3, "12 s"), (89, "89 s"), (2040, "34 min"), (20160, "5.6 h")],
)
def test_durations_are_shown(seconds: float, text: str) -> None:
    assert shown(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(1234.5, "1,234.5 rows/s"), (1, "1.0 rows/s"), (0.48, "2.1 s/row")])
def test_speeds_are_shown(rate: float, text: str) -> None:
    assert pace(rate) == text
