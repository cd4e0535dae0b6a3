"""What identifies a file of any size."""

import hashlib
import json
from pathlib import Path

from lib.cache import cache_folder
from lib.data.atomic import write_text
from lib.log import log

KEPT_FROM_BYTES = 256 << 20


def content_hash(path: Path) -> str:
    """SHA-256 of all of a file.

    From 256 MiB on it is kept by path, size, number and time of change of the file, since gigabytes of weights take a
    while: a checkpoint of which one layer was trained anew must not pass for the old one, so none is hashed in part.
    """
    found = path.stat()
    if found.st_size < KEPT_FROM_BYTES:
        return _hash(path)
    name = str(path.resolve())
    state = [name, found.st_size, found.st_ino, found.st_mtime_ns]
    kept = cache_folder("hashes") / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"
    try:
        content = json.loads(kept.read_text(encoding="utf-8"))
        if content["state"] == state:
            return str(content["sha256"])
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: made anew
        log.info("%s: %s GB are hashed, once", path, f"{found.st_size / 1e9:.1f}")
    digest = _hash(path)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps({"state": state, "sha256": digest}) + "\n")
    except OSError as error:
        log.warning("%s: cannot be written (%s), so each start hashes all weights; set XDG_CACHE_HOME", kept, error)
    return digest


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
