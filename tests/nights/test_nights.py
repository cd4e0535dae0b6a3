"""A small `make nights`."""

from pathlib import Path

import pytest

from tests.nights.battles import battles
from tests.nights.nights import JOBS, Nights
from tests.running import Job


@pytest.mark.parametrize("job", ["judge", "generate"])
def test_each_night_ends_as_from_nothing(tmp_path: Path, quick_job: Job, job: str) -> None:
    nights = list(Nights(tmp_path, JOBS[job], battles(24), quick_job).nights([2_000]))
    assert [night.line(job) for night in nights if night.wrong] == []
    assert [night.name for night in nights][-2:] == ["a quiet night", "a late file"]
    assert sum(night.remembered for night in nights) > sum(night.computed for night in nights)
