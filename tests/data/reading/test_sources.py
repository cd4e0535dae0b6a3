import hashlib
from pathlib import Path

import fsspec
import pytest

from lib.data.reading.readers import batches
from lib.data.reading.sources import FileFormat, Stat, content_hash, resolve, stat
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
        ("{}/nothing.csv", "no such file"),
        ("{}/*.jsonl", "no file matches"),
        ("{}/empty", "no file"),
        ("{}/notes.md", r"unknown suffix '\.md'; supported are \.csv"),
        ("{}/x.parquet.gz", "unknown suffix"),
        ("{}/plain", "unknown suffix"),
        ("{}", "unknown suffix .*glob"),
        ("nonsense://x.csv", "cannot be opened .*nonsense|cannot be opened .*[Pp]rotocol"),
        ("zip://x.csv::{}/x.zip", "chained"),
    ],
)
def test_paths_that_mean_nothing(tmp_path: Path, path: str, message: str):
    (tmp_path / "empty").mkdir()
    for name in ("notes.md", "x.parquet.gz", "plain"):
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
