"""How far a run is: a bar on a terminal, a line every 30 s in the log, `progress.json` for anyone who asks."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from lib.data.atomic import write_text
from lib.data.run_folder import PROGRESS
from lib.data.shards import Footer
from lib.durations import pace, shown
from lib.errors import Stopped, Unfinished
from lib.log import log
from lib.pipeline.meter import RunUsage

_LOG_EVERY = 30.0  # seconds
_WRITE_EVERY = 1.0
_BAR = "{percentage:3.0f}% {bar} {n_fmt} of {total_fmt} rows [{elapsed}{postfix}]"
Tell = Callable[[Mapping[str, float | int | str | None]], None]
_SHOWN = ("cached_share", "queued", "gpu_utilization", "mfu", "prompt_tokens", "completion_tokens", "cost")


class Progress:
    """Counts finished shards. Rates and time left are of this session's work: rows done before it don't count, nor does
    the time before the first engine was loaded."""

    def __init__(
        self, folder: Path, rows: int, done: Iterable[Footer], name: str = PROGRESS, tell: Tell | None = None
    ) -> None:
        """rows: of the whole run; done: footers of the shards that were finished before; name: of the file.

        tell: is given what `progress.json` holds, every 30 s and at the end.
        """
        self._tell = tell or (lambda _: None)
        self._path, self._rows = folder / name, rows
        self._rows_before, self._failed_before = 0, 0
        for footer in done:
            self._rows_before += footer.rows
            self._failed_before += footer.failed
        self.rows = self.failed = 0  # of this session
        self._engine = RunUsage()
        self._started = time.time()
        self._begun = self._last = self._started  # of the work: what is measured lies between these
        self._logged = self._written = time.monotonic()
        self._state = "running"

    def __enter__(self) -> "Progress":
        from tqdm import tqdm  # with asyncio: refusals of a line need none
        from tqdm.contrib.logging import logging_redirect_tqdm

        seen = sys.stderr.isatty()
        self._bar = tqdm(
            total=self._rows, initial=self._rows_before, bar_format=_BAR, disable=not seen, dynamic_ncols=True
        )
        self._over = threading.Event()
        self._open = ExitStack()
        if seen:
            self._open.enter_context(logging_redirect_tqdm([log]))  # else lines would break the bar
            threading.Thread(target=self._tick, daemon=True).start()
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._bar.close()
        self._open.close()
        self._state = "done" if error is None else "stopped" if isinstance(error, (Stopped, Unfinished)) else "failed"
        self._write()
        self._tell(self.content())
        log.info("%s: %s", self._state, self.line())

    def add(self, footer: Footer) -> None:
        """Count a finished shard."""
        self._last = time.time()
        if not self.rows:
            self._begun = self._last - footer.seconds
        self.rows += footer.rows
        self.failed += footer.failed
        self._engine.add(footer)
        self._bar.set_postfix_str(self._measured.removeprefix(", "), refresh=False)
        self._bar.update(footer.rows)
        now = time.monotonic()
        if now - self._written >= _WRITE_EVERY:
            self._written = now
            self._write()
        if now - self._logged >= _LOG_EVERY:
            self._logged = now
            self._tell(self.content())
            log.info("%s", self.line())

    @property
    def all_failed(self) -> int:
        """Failed rows of this session and of those before."""
        return self._failed_before + self.failed

    def line(self) -> str:
        """One line for a log."""
        return f"{self._rows_before + self.rows:,} of {self._rows:,} rows{self._measured}"

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
    def _measured(self) -> str:
        """What is known of speed, failures and the time left; starts with a comma."""
        rate, tokens = self._rate(self.rows), self._rate(self._engine.tokens)
        speed = f", {pace(rate)}" if rate else ""
        speed += f", {tokens:,.0f} tokens/s" if tokens else ""
        left = self._seconds_left
        ending = f", {shown(left)} left" if left else ""
        return f"{speed}{self._engine.line()}, {self.all_failed:,} failed{ending}"

    @property
    def _seconds_left(self) -> float | None:
        left, rate = self._rows - self._rows_before - self.rows, self._rate(self.rows)
        return left / rate if rate else None if left else 0.0

    def _rate(self, count: int) -> float:
        """A second of measured work; 0 before the first shard."""
        return count / (self._last - self._begun) if self._last > self._begun else 0.0

    def _tick(self) -> None:
        """Keep the bar's clock going while no shard is finished."""
        while not self._over.wait(1):
            self._bar.refresh()

    def _write(self) -> None:
        write_text(self._path, json.dumps(self.content(), indent=1) + "\n")
