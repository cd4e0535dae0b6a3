"""How far a run is: a bar on a terminal, a line every 30 s in the log, `progress.json` for anyone who asks."""

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from lib.data.atomic import write_text
from lib.data.run_folder import PROGRESS
from lib.data.shards import Footer
from lib.errors import Stopped, Unfinished
from lib.log import log
from lib.pipeline.meter import RunUsage

_LOG_EVERY = 30.0  # seconds
_WRITE_EVERY = 1.0
_SHOWN = ("cached_share", "queued", "gpu_utilization", "mfu", "prompt_tokens", "completion_tokens", "cost")


class Progress:
    """Counts finished shards. Rates and time left are of this session: rows done before it do not count."""

    def __init__(self, folder: Path, rows: int, done: Iterable[Footer], name: str = PROGRESS) -> None:
        """rows: of the whole run; done: footers of the shards that were finished before; name: of the file."""
        self._path, self._rows = folder / name, rows
        self._rows_before, self._failed_before = 0, 0
        for footer in done:
            self._rows_before += footer.rows
            self._failed_before += footer.failed
        self.rows = self.failed = 0  # of this session
        self._engine = RunUsage()
        self._started = time.time()
        self._logged = self._written = time.monotonic()
        self._state = "running"

    def __enter__(self) -> "Progress":
        bar = {"total": self._rows, "initial": self._rows_before, "unit": " rows", "smoothing": 0.05}
        self._bar = tqdm(desc="rows", disable=not sys.stderr.isatty(), dynamic_ncols=True, **bar)
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        self._state = "done" if error is None else "stopped" if isinstance(error, (Stopped, Unfinished)) else "failed"
        self._write()
        log.info("%s: %s", self._state, self.line())

    def add(self, footer: Footer) -> None:
        """Count a finished shard."""
        self.rows += footer.rows
        self.failed += footer.failed
        self._engine.add(footer)
        self._bar.update(footer.rows)
        now = time.monotonic()
        if now - self._written >= _WRITE_EVERY:
            self._written = now
            self._bar.set_postfix_str(f"{self._speed}, {self.all_failed} failed")
            self._write()
        if now - self._logged >= _LOG_EVERY:
            self._logged = now
            log.info("%s", self.line())

    @property
    def all_failed(self) -> int:
        """Failed rows of this session and of those before."""
        return self._failed_before + self.failed

    def line(self) -> str:
        """One line for a log."""
        left = self._seconds_left or 0
        ending = "" if not left else f", {left / 60:.0f} min left" if left >= 90 else f", {left:.0f} s left"
        return (
            f"{self._rows_before + self.rows:,} of {self._rows:,} rows, {self._rate(self.rows):,.1f} rows/s, "
            f"{self._speed}, {self.all_failed:,} failed{ending}"
        )

    def content(self) -> dict[str, float | int | str | None]:
        """What `progress.json` holds; times in seconds, rates and the engine's figures of this session."""
        engine = self._engine.content()
        left = self._seconds_left
        return {
            "state": self._state,
            "rows": self._rows,
            "rows_done": self._rows_before + self.rows,
            "failed": self.all_failed,
            "rows_per_s": round(self._rate(self.rows), 3),
            "tokens_per_s": round(self._rate(self._engine.tokens), 1),
            **{key: engine[key] for key in _SHOWN if key in engine},
            "eta_seconds": None if left is None else round(left, 1),
            "started": round(self._started, 3),
            "updated": round(time.time(), 3),
        }

    @property
    def _speed(self) -> str:
        return f"{self._rate(self._engine.tokens):,.0f} tokens/s{self._engine.line()}"

    @property
    def _seconds_left(self) -> float | None:
        left = self._rows - self._rows_before - self.rows
        return left / self._rate(self.rows) if self.rows else None

    def _rate(self, count: int) -> float:
        return count / max(time.time() - self._started, 1e-9)

    def _write(self) -> None:
        write_text(self._path, json.dumps(self.content(), indent=1) + "\n")
