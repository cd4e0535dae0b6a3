import io
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from lib.data.shards import Footer
from lib.errors import Stopped
from lib.log import log, log_to
from lib.pipeline import progress as module
from lib.pipeline.progress import Progress


class Clock:
    """Stands in for the module `time`, so that rates are exact."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - 900


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def footer(shard: int, rows: int, failed: int = 0, tokens: int = 0, **gauged: Any) -> Footer:
    plain = {"seconds": 1.0, "cached_tokens": 0, "queued": 0.0, "gpu_utilization": None, "peak_seconds": None}
    return Footer(
        fingerprint="f", shard=shard, input=0, start=0, rows=rows, failed=failed, tokens=tokens, **(plain | gauged)
    )


def written(folder: Path) -> dict[str, object]:
    content = json.loads((folder / "progress.json").read_text())
    assert isinstance(content, dict)
    return content


def test_content_counts_all_rows_and_rates_those_of_this_session(clock: Clock, tmp_path: Path) -> None:
    progress = Progress(tmp_path, 100, [footer(0, 10, failed=2, tokens=999), footer(1, 10)])
    with progress:
        assert written(tmp_path) == {
            "state": "running",
            "rows": 100,
            "rows_done": 20,
            "failed": 2,
            "rows_per_s": 0.0,
            "tokens_per_s": 0.0,
            "cached_share": None,
            "queued": None,
            "gpu_utilization": None,
            "mfu": None,
            "eta_seconds": None,
            "started": 1000.0,
            "updated": 1000.0,
        }
        assert progress.line() == "20 of 100 rows, 2 failed"  # nothing is measured yet
        clock.now += 3
        progress.add(footer(2, 10, failed=3, tokens=500, cached_tokens=90, queued=12.0))
        clock.now += 1
        progress.add(footer(3, 6, tokens=100, cached_tokens=30, queued=16.0))
        assert (progress.rows, progress.failed, progress.all_failed) == (16, 3, 5)
        assert progress.content() == {
            "state": "running",
            "rows": 100,
            "rows_done": 36,
            "failed": 5,
            "rows_per_s": 8.0,  # 16 rows in the 2 s since the first shard was begun
            "tokens_per_s": 300.0,
            "cached_share": 0.2,
            "queued": 14.0,
            "gpu_utilization": None,
            "mfu": None,
            "eta_seconds": 8.0,  # 64 rows
            "started": 1000.0,
            "updated": 1004.0,
        }
        assert progress.line() == "36 of 100 rows, 8.0 rows/s, 300 tokens/s, 20% cached, 14 queued, 5 failed, 8 s left"


def test_a_finished_run_has_nothing_left(clock: Clock, tmp_path: Path) -> None:
    with Progress(tmp_path, 10, []) as progress:
        clock.now += 2
        progress.add(footer(0, 10))
    assert (written(tmp_path)["state"], written(tmp_path)["eta_seconds"]) == ("done", 0.0)
    assert progress.line() == "10 of 10 rows, 10.0 rows/s, 0 failed"  # 1 s of loading is no work


@pytest.mark.parametrize(
    ("error", "state"), [(Stopped("by SIGTERM", 143), "stopped"), (ValueError("x"), "failed"), (None, "done")]
)
def test_the_end_is_written_as_it_was(error: Exception | None, state: str, tmp_path: Path) -> None:
    def work() -> None:
        with Progress(tmp_path, 10, []) as progress:
            progress.add(footer(0, 4, failed=1))
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    content = written(tmp_path)
    assert (content["state"], content["rows_done"], content["failed"]) == (state, 4, 1)


def test_file_is_written_once_a_second_and_the_log_every_half_minute(clock: Clock, tmp_path: Path) -> None:
    before = log.level
    log.setLevel(logging.INFO)
    log_to(tmp_path / "log.txt")
    try:
        with Progress(tmp_path, 1000, []) as progress:
            seen = []
            for shard in range(130):
                clock.now += 0.5
                progress.add(footer(shard, 1))
                seen.append(written(tmp_path)["rows_done"])
        lines = (tmp_path / "log.txt").read_text().splitlines()
    finally:
        log.setLevel(before)
        for handler in [handler for handler in log.handlers if isinstance(handler, logging.FileHandler)]:
            log.removeHandler(handler)
            handler.close()
    assert seen == [shard // 2 * 2 for shard in range(1, 131)]
    assert [line.partition("INFO ")[2] for line in lines] == [
        "60 of 1,000 rows, 2.0 rows/s, 0 failed, 8 min left",
        "120 of 1,000 rows, 2.0 rows/s, 0 failed, 7 min left",
        "done: 130 of 1,000 rows, 2.0 rows/s, 0 failed, 7 min left",
    ]


def test_a_pipe_gets_no_bar(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with Progress(tmp_path, 10, []) as progress:
        progress.add(footer(0, 10))
    assert "rows:" not in capsys.readouterr().err


def test_lines_of_the_log_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(log, "handlers", [logging.StreamHandler(terminal)])
    before = log.level
    log.setLevel(logging.INFO)
    try:
        with Progress(tmp_path, 10, []) as progress:
            log.info("a worker is ready")
            progress.add(footer(0, 4, seconds=8.0))
            progress.add(footer(1, 1))
    finally:
        log.setLevel(before)
    shown = terminal.getvalue()
    assert re.search(r"\r +\ra worker is ready\n\r +0% ", shown)  # the bar is wiped, and drawn again below the line
    assert re.search(r"50% .* 5 of 10 rows \[00:0\d, 1\.6 s/row, 0 failed, 8 s left\]", shown)
