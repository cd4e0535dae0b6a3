"""What the end of a run left, written down, so that the same line typed again need not make it again."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from lib.data.atomic import write_text
from lib.data.manifest import Manifest
from lib.data.run_folder import (
    CONFIG,
    FAILURES,
    FINISHED,
    MANIFEST,
    METRICS,
    OPENAI_ERRORS,
    OPENAI_OUTPUT,
    REPORT,
    RESULT,
    SUBMISSION,
    read_object,
)
from lib.data.shards import state
from lib.errors import RunFolderError

_FILES = (CONFIG, MANIFEST, RESULT, FAILURES, SUBMISSION, OPENAI_OUTPUT, OPENAI_ERRORS, METRICS, REPORT)


def write_finished(manifest: Manifest, folder: Path, reads: Iterable[str]) -> None:
    """Write down what a finished run left, and of which shards. reads: other files that its end depends on."""
    write_text(folder / FINISHED, json.dumps(_found(manifest, folder, reads), indent=1) + "\n")


def is_finished(manifest: Manifest, folder: Path, reads: Iterable[str]) -> bool:
    """Whether a run was finished by the same line, and neither its shards nor a bit of what it left changed since."""
    if not (folder / FINISHED).exists():
        return False
    try:
        return read_object(folder / FINISHED) == _found(manifest, folder, reads)
    except RunFolderError:  # damaged: the end is made again, and this with it
        return False


def _found(manifest: Manifest, folder: Path, reads: Iterable[str]) -> dict[str, object]:
    files = {name: _hash(folder / name) for name in (*_FILES, *reads)}
    return {"shards": state(manifest, folder), "files": files}


def _hash(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
