"""Write elsewhere, then rename: a file that exists is whole."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; at the end sync it to disk and rename it to `path`.

    Rename is atomic within one folder, so readers see the old file or the new one, never a part.
    Where the body raises, the temporary file is removed and `path` is left as it was.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder in one that is there, unless it is there itself, and sync it to disk."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    _sync(path.parent)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a small UTF-8 text file atomically. private: only its owner may read it."""
    with atomic_path(path) as temporary:
        if private:
            temporary.touch(0o600)
        temporary.write_text(text, encoding="utf-8")


def write_new_text(path: Path, text: str) -> bool:
    """Write a small UTF-8 text file unless it is there already: of several writers at once the first wins.

    Returns whether this one did.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        _sync(temporary)
        os.link(temporary, path)
        _sync(path.parent)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
