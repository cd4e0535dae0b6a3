"""The files behind `data.path`: finding, opening, hashing."""

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import pyarrow as pa

from lib.data.hub.hub_paths import SCHEME, pinned, without_revision
from lib.data.parquet import UNREADABLE
from lib.errors import InputError
from lib.file_systems import file_system, is_local
from lib.urls import reason, without_secrets

_BLOCK_BYTES = 1 << 20
_END_BYTES = 64 << 10
_CODECS = {".gz": "gzip", ".zst": "zstd"}
_MAGIC = {
    b"\x1f\x8b": "compressed by gzip (.gz)",
    b"\x28\xb5\x2f\xfd": "compressed by zstd (.zst)",
    b"PK\x03\x04": "a ZIP archive, or a workbook of Excel",
    b"PAR1": "Parquet (.parquet)",
}
UNFINISHED = "if it is still being written, wait for its end (data.settle=60 does)"
SUPPORTED = "supported are .csv, .tsv, .jsonl, .ndjson, .txt, .md (each also as .gz or .zst) and .parquet"


class FileFormat(Enum):
    """File formats, by suffix."""

    CSV = ".csv"
    TSV = ".tsv"
    JSONL = ".jsonl"
    PARQUET = ".parquet"
    TEXT = ".txt"


@dataclass(frozen=True)
class Source:
    """One input file. url: an absolute path, or the URL of a file that is not local, to be shown and written down.

    address: the same, with the user, password and query that it takes to open it.
    """

    url: str
    format: FileFormat
    codec: str | None
    address: str = field(compare=False, repr=False)


@dataclass(frozen=True)
class Stat:
    """What shows that a file was changed: bytes and time of change, each None where the file system can't say."""

    size: int | None
    mtime_ns: int | None


@dataclass(frozen=True)
class Seen:
    """A source as it was when its bytes were hashed.

    sha256: of the file as it lies there; ends_sha256: of its first and its last 64 KiB, None where its file system
    can't say when a file was changed.
    """

    source: Source
    stat: Stat
    sha256: str
    ends_sha256: str | None


def resolve(path: str) -> list[Source]:
    """The files that a path means, sorted by name: a file, a glob, a folder (searched in depth), or an fsspec URL.

    In a folder, names that begin with "." or "_" are passed over (`_SUCCESS` and the like).
    Raises InputError where there is no file, or one of an unsupported format.
    """
    if not path:
        raise InputError(f"data.path: is empty; give a file, a glob, a folder or a URL; {SUPPORTED}")
    with _reaching("data.path", path):
        fs, root = file_system(pinned(path) if path.startswith(SCHEME) else path)
        fs.invalidate_cache()  # a listing of before may lack files
        paths = _paths(fs, root)
    if not paths:
        raise InputError(f"data.path={without_secrets(path)}: no such file, and no file matches; {SUPPORTED}")
    if odd := [name for name in paths if not _is_unicode(name)]:
        raise InputError(f"{odd[0]!a}: the name is not UTF-8; rename the file (convmv does so for many)")
    local = is_local(fs)
    return [source_of(name if local else fs.unstrip_protocol(name)) for name in sorted(paths)]


def _is_unicode(name: str) -> bool:
    """Whether a name can be written down: bytes of it that are not UTF-8 come as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def text_source(path: str, key: str) -> Source:
    """The text file at a path or URL, of whatever suffix before .gz or .zst.

    Raises InputError, naming the key, where there is no such file system.
    """
    with _reaching(key, path):
        file_system(path)
    url = without_secrets(path)
    return Source(url, FileFormat.TEXT, _CODECS.get(PurePosixPath(url).suffix.lower()), path)


def source_of(address: str) -> Source:
    """The source at an absolute path or URL, its format known by its suffix."""
    url = without_secrets(address)
    suffixes = [suffix.lower() for suffix in PurePosixPath(url).suffixes] or [""]
    codec = _CODECS.get(suffixes[-1])
    suffix = suffixes[-1] if codec is None else "".join(suffixes[-2:-1])
    suffix = {".ndjson": ".jsonl", ".md": ".txt"}.get(suffix, suffix)
    known = {f.value: f for f in FileFormat if codec is None or f is not FileFormat.PARQUET}
    if suffix not in known:
        hint = "give a glob such as folder/*.csv to choose among the files of a folder"
        raise InputError(f"{url}: unknown suffix {''.join(suffixes[-2:])!r}; {SUPPORTED}; {hint}")
    return Source(url, known[suffix], codec, address)


def name_below(path: str, url: str) -> str:
    """What tells a file of `resolve(path)` from the others: its path below the folder, or below a glob's fixed part.

    Of a path that means one file by its name, the name of the file.
    """
    fs, _ = file_system(path)
    root, file = (str(fs._strip_protocol(place)) for place in (without_secrets(path).rstrip("/"), url))
    if url.startswith(SCHEME):
        root, file = without_revision(root), without_revision(file)
    if file == root:
        return PurePosixPath(file).name
    fixed = root if file.startswith(f"{root}/") else re.split(r"[*?\[]", root, maxsplit=1)[0].rpartition("/")[0]
    return file.removeprefix(fixed).lstrip("/")


@contextmanager
def open_source(source: Source) -> Iterator[BinaryIO]:
    """The bytes of a source, decompressed. Raises InputError where they cannot be read."""
    with _open_raw(source) as file:
        if source.codec is None:
            buffered = io.BufferedReader(cast(io.RawIOBase, file), _BLOCK_BYTES)  # HTTP's readers can't bound a line
            start = b"" if source.format is FileFormat.PARQUET else buffered.peek(4)[:4]
            if kind := next((kind for mark, kind in _MAGIC.items() if start.startswith(mark)), None):
                raise InputError(f"{source.url}: the file is {kind}, whatever its name says; name it so, or convert it")
            yield cast(BinaryIO, buffered)
            return
        with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), source.codec) as stream:
            yield cast(BinaryIO, io.BufferedReader(stream, _BLOCK_BYTES))


def look(source: Source, known: Iterable[Seen] = ()) -> Seen:
    """A source as it is now: hashed whole, unless it still is as it is known to have been.

    known: what was seen of it earlier. It is believed where path or URL, size, time of change and both ends are the
    same. That notices what is written in the usual ways, but not bytes changed in the middle of a file whose size and
    time of change were then put back. A file that was copied or touched has another time: it is hashed whole again.

    Raises InputError where the source is gone or cannot be read.
    """
    now = stat(source)
    ends = None if now.mtime_ns is None else _ends_hash(source)
    same = {seen for seen in known if (seen.source, seen.stat, seen.ends_sha256) == (source, now, ends)}
    if ends is not None and len(same) == 1:
        found = same.pop()
        return found if found.source.address == source.address else replace(found, source=source)
    return Seen(source, now, content_hash(source), ends)


def content_hash(source: Source) -> str:
    """SHA-256 of the bytes of the file as it lies there."""
    digest = hashlib.sha256()
    with _open_raw(source) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _ends_hash(source: Source) -> str:
    with _open_raw(source) as file:
        digest = hashlib.sha256(file.read(_END_BYTES))
        size = file.seek(0, io.SEEK_END)
        file.seek(min(size, max(size - _END_BYTES, _END_BYTES)))
        digest.update(file.read(_END_BYTES))
    return digest.hexdigest()


def stat(source: Source) -> Stat:
    """Size and time of change of a source as it is now. Raises InputError where it is gone."""
    fs, path = file_system(source.address)
    try:
        fs.invalidate_cache(path)  # as above: of a change it knows nothing
        size = fs.info(path).get("size")
        mtime_ns = int(fs.modified(path).timestamp() * 1e9)
    except NotImplementedError:
        mtime_ns = None
    except OSError as error:
        raise InputError(f"{source.url}: cannot be opened ({reason(error)})") from error
    return Stat(size, mtime_ns)


@contextmanager
def _reaching(key: str, path: str) -> Iterator[None]:
    shown = f"{key}={without_secrets(path)}"
    if "::" in path:
        raise InputError(f"{shown}: chained URLs are not supported; give the URL of the file itself")
    try:
        yield
    except Exception as error:  # each file system has errors of its own (credentials, network, a missing package)
        raise InputError(f"{shown}: cannot be opened ({reason(error)})") from error


def _paths(fs: Any, root: str) -> list[str]:
    if fs.isfile(root):  # also a file whose name looks like a glob
        return [root]
    if fs.isdir(root):
        names = ((name, PurePosixPath(name[len(root) :].lstrip("/")).parts) for name in fs.find(root))
        return [name for name, parts in names if not any(part.startswith((".", "_")) for part in parts)]
    return [name for name in fs.glob(root) if fs.isfile(name)] if any(c in root for c in "*?[") else []


class _Remote(io.RawIOBase):
    """A file that is not local. Each file system has errors of its own, which are OSErrors here."""

    def __init__(self, fs: Any, path: str) -> None:
        self._file = self._told(fs.open, path, "rb")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._told(self._file.seek, offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        content = self._told(self._file.read, len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()

    @staticmethod
    def _told(ask: Callable[..., Any], *given: object) -> Any:
        try:
            return ask(*given)
        except OSError:
            raise
        except Exception as error:  # of aiohttp, of a cloud's client, …
            raise OSError(reason(error)) from error


@contextmanager
def _open_raw(source: Source) -> Iterator[BinaryIO]:
    fs, path = file_system(source.address)
    try:
        with fs.open(path, "rb") if is_local(fs) else _Remote(fs, path) as file:
            yield cast(BinaryIO, file)
    except MemoryError as error:
        raise InputError(f"{source.url}: there is not enough memory for what it holds") from error
    except UNREADABLE as error:
        raise InputError(
            f"{source.url}: cannot be read ({reason(error)}); is the file there, and whole? Or, {UNFINISHED}"
        ) from error
