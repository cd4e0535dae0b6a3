from collections.abc import Callable
from pathlib import Path

import pytest

from lib.engines.checkpoints import gguf
from lib.engines.files.converted import cached
from lib.errors import ConfigError


def convert(source: Path, write: Callable[[Path], None]) -> Path:
    return cached(source, write, key="engine.x", kind="gguf", converter="1", name="metadata")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_file_is_converted_once(cache: Path, tmp_path: Path) -> None:
    calls = []

    def write(out: Path) -> None:
        calls.append(out)
        (out / "config.json").write_text("{}")

    source = tmp_path / "model.gguf"
    source.write_bytes(b"GGUF")
    first = convert(source, write)
    assert convert(source, write) == first
    assert len(calls) == 1
    assert first.is_relative_to(cache / "overnight" / "gguf")
    assert [path.name for path in first.parent.iterdir()] == ["metadata"]
    source.write_bytes(b"GGUF2")
    assert convert(source, write) != first


def test_the_first_of_two_processes_wins(tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(b"GGUF")

    def write(out: Path) -> None:
        (out / "config.json").write_text("late")
        other = out.parent / "metadata"
        other.mkdir()
        (other / "config.json").write_text("early")

    found = convert(source, write)
    assert (found / "config.json").read_text() == "early"
    assert [path.name for path in found.parent.iterdir()] == ["metadata"]


def test_a_conversion_that_fails_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(b"GGUF")

    def fail(out: Path) -> None:
        (out / "half").write_text("")
        raise ValueError("cut short")

    with pytest.raises(ValueError, match="cut short"):
        convert(source, fail)
    assert not [path for path in cache.rglob("*") if path.name == "half"]


def test_an_unwritable_cache_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(b"GGUF")
    monkeypatch.setenv("XDG_CACHE_HOME", str(source))  # a file where the folder should be
    with pytest.raises(ConfigError, match=r"engine\.gguf_file=model\.gguf: .*set XDG_CACHE_HOME"):
        gguf.metadata(source)
