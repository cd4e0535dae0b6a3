import hashlib
import os
from pathlib import Path

import fsspec
import pytest

from lib.data.reading.readers import batches
from lib.data.reading.sources import FileFormat, Seen, Stat, content_hash, look, name_below, resolve, stat
from lib.errors import InputError

CSV = b"a,b\n1,x\n"


def write(folder: Path, name: str, content: bytes = CSV) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_files_folders_and_globs(tmp_path: Path):
    for name in ("b.csv", "a.csv", "deep/c.csv", "_SUCCESS", ".hidden/d.csv"):
        write(tmp_path, name)

    def found(path: str) -> list[str]:
        return [str(Path(source.url).relative_to(tmp_path)) for source in resolve(path)]

    assert found(str(tmp_path)) == ["a.csv", "b.csv", "deep/c.csv"]
    assert found(f"{tmp_path}/*.csv") == ["a.csv", "b.csv"]
    assert found(f"{tmp_path}/**/*.csv") == [".hidden/d.csv", "a.csv", "b.csv", "deep/c.csv"]  # as it was asked for
    assert found(str(write(tmp_path, "odd[1].csv"))) == ["odd[1].csv"]


@pytest.mark.parametrize("path", ["", "/*", "/b\udcff.csv"])
def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path, path: str):
    write(tmp_path, "a.csv")
    write(tmp_path, os.fsdecode(b"b\xff.csv"))
    with pytest.raises(InputError, match=r"b\\udcff\.csv': the name is not UTF-8; rename the file"):
        resolve(f"{tmp_path}{path}")


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, "a.csv")
    monkeypatch.chdir(tmp_path)
    assert resolve("a.csv")[0].url == str(tmp_path / "a.csv")  # workers may have another working directory


def test_urls():
    memory = fsspec.filesystem("memory")
    memory.pipe({"/overnight/b.jsonl": b'{"a": "1"}', "/overnight/a.csv": CSV})
    try:
        assert [source.format for source in resolve("memory://overnight")] == [FileFormat.CSV, FileFormat.JSONL]
        for path in ("memory://overnight/*.csv", "memory://overnight/b.jsonl"):
            assert list(batches(resolve(path)[0], ["a"])) == [{"a": ["1"]}]
        assert stat(resolve("memory://overnight/a.csv")[0]).size == len(CSV)
    finally:
        memory.rm("/overnight", recursive=True)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "data.path: is empty"),
        ("{}/nothing.csv", "no such file"),
        ("{}/*.jsonl", "no file matches"),
        ("{}/empty", "no file"),
        ("{}/notes.doc", r"unknown suffix '\.doc'; supported are \.csv"),
        ("{}/x.parquet.gz", "unknown suffix"),
        ("{}/plain", "unknown suffix"),
        ("{}", "unknown suffix .*glob"),
        ("nonsense://x.csv", "cannot be opened .*nonsense|cannot be opened .*[Pp]rotocol"),
        ("zip://x.csv::{}/x.zip", "chained"),
    ],
)
def test_paths_that_mean_nothing(tmp_path: Path, path: str, message: str):
    (tmp_path / "empty").mkdir()
    for name in ("notes.doc", "x.parquet.gz", "plain"):
        write(tmp_path, name, b"x")
    with pytest.raises(InputError, match=message):
        resolve(path.format(tmp_path))


def test_hash_and_stat_show_a_change(tmp_path: Path):
    path = write(tmp_path, "x.csv")
    (source,) = resolve(str(path))
    assert content_hash(source) == hashlib.sha256(CSV).hexdigest()
    before = stat(source)
    assert before == Stat(len(CSV), before.mtime_ns) == stat(source)
    path.write_bytes(CSV + b"1,2\n")
    assert stat(source) != before
    path.unlink()
    with pytest.raises(InputError, match="cannot be opened"):
        stat(source)


KIB = 1 << 10


def flip(path: Path, at: int) -> None:
    """Change one byte, and put the time of change back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def seen(path: Path, *known: Seen) -> Seen:
    return look(resolve(str(path))[0], known)


@pytest.mark.parametrize("size", [0, 1, 64 * KIB, 64 * KIB + 1, 128 * KIB, 300 * KIB])
def test_what_is_known_is_believed_while_both_ends_are_the_same(tmp_path: Path, size: int):
    path = write(tmp_path, "x.csv", os.urandom(size))
    known = seen(path)
    assert known.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert seen(path, known) is known
    ends = {at for at in (0, 64 * KIB - 1, size - 64 * KIB, size - 1) if 0 <= at < size}
    for at in sorted(ends):
        flip(path, at)
        assert seen(path, known) == Seen(known.source, known.stat, content_hash(known.source), seen(path).ends_sha256)
        assert seen(path, known).sha256 != known.sha256
        flip(path, at)
        assert seen(path, known) is known


def test_what_quick_promises_and_what_it_does_not(tmp_path: Path):
    path = write(tmp_path, "x.csv", os.urandom(300 * KIB))
    known = seen(path)
    flip(path, 150 * KIB)
    assert seen(path, known) is known  # neither size, time of change nor an end tells
    changed = seen(path)
    assert changed.sha256 != known.sha256
    assert seen(path, known, changed) == changed  # two that look the same: neither is believed
    flip(path, 150 * KIB)
    os.utime(path)
    assert seen(path, known).sha256 == known.sha256
    assert seen(path, known).stat != known.stat
    copy = write(tmp_path, "y.csv", path.read_bytes())
    assert seen(copy, known).sha256 == known.sha256
    assert seen(copy, known).source.url == str(copy)


def test_nothing_is_believed_of_a_file_system_without_times_of_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path, "x.csv")
    monkeypatch.setattr("lib.data.reading.sources.stat", lambda source: Stat(len(CSV), None))
    known = seen(path)
    assert known.ends_sha256 is None
    path.write_bytes(CSV[::-1])
    assert seen(path, known).sha256 == hashlib.sha256(CSV[::-1]).hexdigest()


def test_ends_of_a_url():
    memory = fsspec.filesystem("memory")
    memory.pipe("/overnight/a.csv", CSV * (64 * KIB))
    try:
        (source,) = resolve("memory://overnight/a.csv")
        known = look(source)
        assert known.ends_sha256 == hashlib.sha256((CSV * (16 * KIB))[: 128 * KIB]).hexdigest()
        assert look(source, [known]) is known
    finally:
        memory.rm("/overnight", recursive=True)


@pytest.mark.parametrize("below", ["docs", "docs/", "docs/*.txt", "docs/a/x.txt"])
def test_a_file_is_named_without_the_user_of_its_url(below: str):
    name = name_below(f"http://user:secret@host/{below}?key=1", "http://host/docs/a/x.txt")
    assert name == ("x.txt" if below.endswith("x.txt") else "a/x.txt")
