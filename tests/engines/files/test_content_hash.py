import os
from hashlib import sha256
from pathlib import Path

import pytest

from lib.cache import cache_folder
from lib.engines.files import content_hash as module
from lib.engines.files.content_hash import content_hash

LARGE = 1 << 20


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose hash is kept, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "KEPT_FROM_BYTES", LARGE)
    path = tmp_path / "weights"
    with path.open("wb") as file:
        file.truncate(LARGE)
    return path


def change(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(b"x")


def test_every_byte_of_a_large_file_counts(large: Path) -> None:
    hashes = {content_hash(large)}
    for position in (0, LARGE // 3 + 12_345, LARGE - 1):
        change(large, position)
        hashes.add(content_hash(large))
    assert len(hashes) == 4
    assert sha256(large.read_bytes()).hexdigest() in hashes


def test_a_large_file_is_read_once(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = content_hash(large)
    monkeypatch.setattr(module, "_hash", lambda path: "read again")
    assert content_hash(large) == first
    found = large.stat()
    os.utime(large, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert content_hash(large) == "read again"


@pytest.mark.parametrize("content", ["", "[]", '{"state": 3}', "\ud83d"])
def test_a_damaged_note_is_made_anew(large: Path, content: str) -> None:
    first = content_hash(large)
    (note,) = cache_folder("hashes").iterdir()
    note.write_bytes(content.encode("utf-8", "surrogatepass"))
    assert content_hash(large) == first
    assert first in note.read_text()


def test_without_a_place_for_notes_it_is_read_each_time(
    large: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (large.parent / "cache").write_text("a file where a folder should be")
    assert content_hash(large) == sha256(large.read_bytes()).hexdigest()
    assert "each start hashes all weights; set XDG_CACHE_HOME" in caplog.text
