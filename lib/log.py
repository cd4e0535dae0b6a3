"""Where messages go: the terminal, and `log.txt` in the run folder."""

import logging
import sys
from pathlib import Path

from lib.urls import without_secrets


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


_FORMAT = _Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")

log = logging.getLogger("overnight")


def log_to_terminal() -> None:
    """Send our messages to standard error, once."""
    if not log.handlers:
        _add(logging.StreamHandler(sys.stderr))
        log.setLevel(logging.INFO)
        log.propagate = False


def log_to(path: Path) -> None:
    """Send our messages to a run folder's log as well, and no longer to that of a run before."""
    for handler in [handler for handler in log.handlers if isinstance(handler, logging.FileHandler)]:
        log.removeHandler(handler)
        handler.close()
    _add(logging.FileHandler(path, encoding="utf-8"))


def _add(handler: logging.Handler) -> None:
    handler.setFormatter(_FORMAT)
    log.addHandler(handler)
