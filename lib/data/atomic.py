"""Write elsewhere, then rename: a file that exists is whole. What killed writers leave elsewhere is removed later."""

import os
import re
import secrets
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from pathlib import Path

from lib.log import log

HEX = "[0-9a-f]"
TEMPORARY = f"*.{HEX * 32}.tmp"
PROBE = f".writable-{HEX * 32}"
"""Names of files that are being written, and of those that try whether one can; to the letter, for `remove_leftovers`.

A folder may hold the user's own things, too.
"""

_DAY = 86_400.0
_WRITER = re.compile(rf"\.({HEX}{{8}})({HEX}{{8}})({HEX}{{8}}){HEX}{{8}}\.tmp$")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; at the end sync it to disk and rename it to `path`.

    Rename is atomic within one folder, so readers see the old file or the new one, never a part.
    Where the body raises, the temporary file is removed and `path` is left as it was.
    """
    temporary = temporary_of(path)
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; at the end sync all of it to disk and rename it to `path`.

    `path` may be an empty folder; one that holds something is left as it was, with OSError. Where the body raises, the
    temporary folder is removed.
    """
    temporary = temporary_of(path)
    temporary.mkdir()
    try:
        yield temporary
        for each in (*temporary.rglob("*"), temporary):
            _sync(each)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    temporary = temporary_of(path)
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


def remove_leftovers(folder: Path, patterns: Collection[str], keep: Collection[str] = ()) -> None:
    """Remove what matches in a folder and is of a process that died on this machine, with all that is below it.

    Or was not changed for more than a day: what is younger may be of a process elsewhere. The time is that of the file
    system, which is that of a file written now: clocks of machines differ. keep: paths below the folder that stay. What
    can't be removed is told in the log, and stays.
    """
    try:
        found = [path for pattern in patterns for path in folder.glob(pattern)]
        found = [path for path in found if path.relative_to(folder).as_posix() not in keep]
        if not found:
            return
        now = _time_of(folder)
    except OSError as error:
        log.debug("%s: leftovers of killed processes stay (%s)", folder, error)
        return
    for path in found:
        try:
            if _is_orphan(path) or now - max(_times(path)) > _DAY:
                _remove(path)
                log.info("%s: left by a killed process, and removed", path)
        except FileNotFoundError:
            continue  # another process is at it
        except OSError as error:
            log.warning("%s: left by a killed process, and can't be removed (%s)", path, error.strerror or error)


def temporary_of(path: Path) -> Path:
    """A name beside a path, as of TEMPORARY, that nobody else takes and that says whose it is."""
    start = _start_of(os.getpid()) or 0
    return path.with_name(f"{path.name}.{_machine()}{os.getpid():08x}{start:08x}{secrets.token_hex(4)}.tmp")


def _is_orphan(path: Path) -> bool:
    """Whether a file with such a name is of a process of this machine that is no more."""
    match = _WRITER.search(path.name)
    if match is None or match[1] != _machine():
        return False
    pid, start = int(match[2], 16), int(match[3], 16)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # of another user
        pass
    return start != 0 and _start_of(pid) not in (None, start)


@cache
def _machine() -> str:
    """Eight digits for this machine since it was booted, and for the numbers that its processes have here."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return blake2b(f"{boot}{os.readlink('/proc/self/ns/pid')}".encode(), digest_size=4).hexdigest()
    except OSError:
        return secrets.token_hex(4)  # nobody's: only age tells


def _start_of(pid: int) -> int | None:
    """When a process began, in 32 bits; None where that can't be known, 0 where it has ended and is not waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return 0 if fields[0] in "ZX" else int(fields[19]) % (1 << 32)


def _time_of(folder: Path) -> float:
    """The file system's time, in seconds since 1970."""
    probe = folder / f".writable-{uuid.uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _times(path: Path) -> Iterator[float]:
    """When a file was changed, or a folder and each thing in it."""
    yield path.lstat().st_mtime
    if path.is_symlink() or not path.is_dir():
        return
    for place, folders, files in os.walk(path, onerror=_raise):
        for name in (*folders, *files):
            yield os.lstat(os.path.join(place, name)).st_mtime


def _raise(error: OSError) -> None:
    raise error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
