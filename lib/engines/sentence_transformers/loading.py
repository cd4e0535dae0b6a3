"""Loads a model by sentence-transformers, and makes sure that all of its weights are the folder's own."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from lib.engines.transformers.loading import quiet
from lib.errors import EngineError

_REPORTS = "transformers.modeling_utils"  # whose report of a load names weights that were missing, and made up
_MISSING = re.compile(r"^\s*(\S[^|\n]*?)\s*\|\s*MISSING\b", re.MULTILINE)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

Model = TypeVar("Model")


def load(make: Callable[[], Model], what: str) -> Model:
    """What `make` loads, a model of the library's.

    Raises EngineError, naming `what`, where it does not load, or where weights were missing that its architecture has:
    they would be random numbers.
    """
    quiet()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    try:
        with _missing() as missing:
            model = make()
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        raise EngineError(f"{what}: sentence-transformers can't load it ({type(error).__name__}): {error}") from error
    if missing:
        raise EngineError(f"{what}: lacks weights of its architecture: {', '.join(missing[:5])}")
    return model


def memory(model: Any) -> int:
    """Bytes of a model's tensors."""
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


@contextmanager
def _missing() -> Iterator[list[str]]:
    """Yield a list that takes, while entered, the names of weights that a checkpoint lacks.

    Not those of the pooler of a BERT without a head: nothing reads it, and not all checkpoints have it.
    """
    found: list[str] = []

    class Reader(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            names = _MISSING.findall(_COLOURS.sub("", record.getMessage()))
            found.extend(name for name in names if not name.startswith("pooler."))

    logger, reader = logging.getLogger(_REPORTS), Reader(logging.WARNING)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(reader)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.removeHandler(reader)
        logger.setLevel(level)
        logger.propagate = propagate
