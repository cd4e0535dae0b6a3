"""Journals of shards that are not done yet: what was answered about their rows, lest it is asked again."""

import json
import os
import threading
import uuid
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from types import TracebackType

from lib.data.run_folder import JOURNALS

_HASHED = 32  # characters of a line's hash


class Journal:
    """The answers to a shard's requests, by their keys: those of earlier attempts, and new ones as they come.

    Each attempt has a file of its own, of which every line is written at once and holds its hash: a process that is
    killed leaves a last line that is not whole, at most, and what is damaged later is asked again. Thread-safe.
    """

    def __init__(self, folder: Path, shard: int) -> None:
        """folder: of the run."""
        self._replies = {key: reply for file in _files(folder, shard) for key, reply, _ in _entries(file)}
        self._path = folder / JOURNALS / f"{_name(shard)}-{uuid.uuid4().hex}.jsonl"
        self._file: int | None = None
        self._turn = threading.Lock()

    def get(self, key: str) -> str | None:
        """The reply to a request, if there was one."""
        return self._replies.get(key)

    def put(self, key: str, reply: str, cost: float) -> None:
        """Keep the reply to a request, on disk. Raises OSError where it can't be written."""
        entry = json.dumps([key, reply, cost]).encode()
        line = _hash(entry) + entry + b"\n"
        with self._turn:
            if self._file is None:
                self._path.parent.mkdir(exist_ok=True)
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            while line:
                line = line[os.write(self._file, line) :]
            self._replies[key] = reply

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._turn:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def forget(folder: Path, shard: int) -> None:
    """Remove a shard's journal: the shard is done."""
    for file in _files(folder, shard):
        file.unlink(missing_ok=True)


def journalled_cost(folder: Path) -> float:
    """What the answers cost that are in journals."""
    return sum(cost for file in _files(folder) for _, _, cost in _entries(file))


def _name(shard: int) -> str:
    return f"shard-{shard:08d}"


def _files(folder: Path, shard: int | None = None) -> list[Path]:
    pattern = "shard-*.jsonl" if shard is None else f"{_name(shard)}-*.jsonl"
    return sorted((folder / JOURNALS).glob(pattern))


def _hash(entry: bytes) -> bytes:
    """Of a line, in front of what it says."""
    return blake2b(entry, digest_size=_HASHED // 2).hexdigest().encode()


def _entries(file: Path) -> Iterator[tuple[str, str, float]]:
    try:
        lines = file.read_bytes().split(b"\n")[:-1]  # behind the last line break: one that was not written whole
    except FileNotFoundError:  # its shard was finished meanwhile
        return
    for line in lines:
        entry = line[_HASHED:]
        if _hash(entry) == line[:_HASHED]:
            key, reply, cost = json.loads(entry)
            yield key, reply, cost
