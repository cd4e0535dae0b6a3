"""The index of a folder's footers is trusted only of files that are as they were, and never needed."""

import os
import time
from pathlib import Path

import pytest

from lib.data import shards as module
from lib.data.beside_shards.footer_index import NAME, read_index
from lib.data.manifest import Manifest
from lib.data.shards import Footer, commit, state, unfinished
from tests.data.test_shards_and_merge import commit_all, manifest, result

__all__ = ["manifest"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORTH_AN_INDEX", 3)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the shards whose own footers are read."""
    numbers: list[int] = []
    read = module.read_footer

    def counted(shard, manifest, folder):  # type: ignore[no-untyped-def]
        numbers.append(shard.number)
        return read(shard, manifest, folder)

    monkeypatch.setattr(module, "read_footer", counted)
    return numbers


def _unfinished(manifest: Manifest, folder: Path) -> tuple[list[int], list[Footer]]:
    todo, done = unfinished(manifest, folder, retry_failed=False)
    return [shard.number for shard in todo], done


def test_a_second_look_opens_no_shard(manifest: Manifest, tmp_path: Path, opened: list[int]) -> None:
    commit_all(manifest, tmp_path, {12: "bad"})
    before = _unfinished(manifest, tmp_path)
    assert opened == [0, 1, 2]
    assert (tmp_path / "shards" / "0000" / NAME).exists()
    assert _unfinished(manifest, tmp_path) == before
    assert opened == [0, 1, 2]
    assert [footer.failed for footer in before[1]] == [0, 1, 0]


def test_a_shard_that_changed_is_opened(manifest: Manifest, tmp_path: Path, opened: list[int]) -> None:
    shards = commit_all(manifest, tmp_path)
    _unfinished(manifest, tmp_path)
    commit(result(range(10, 20), {13: "bad"}), shards[1], manifest, tmp_path, seconds=2)
    damaged = tmp_path / shards[2].path
    damaged.write_bytes(damaged.read_bytes()[:-4] + b"PAR0")
    opened.clear()
    todo, done = _unfinished(manifest, tmp_path)
    assert (todo, opened) == ([2], [1, 2])
    assert [footer.failed for footer in done] == [0, 1]
    (tmp_path / shards[0].path).unlink()
    assert _unfinished(manifest, tmp_path)[0] == [0, 2]


def test_the_same_size_at_another_time_is_another_file(manifest: Manifest, tmp_path: Path, opened: list[int]) -> None:
    shards = commit_all(manifest, tmp_path)
    _unfinished(manifest, tmp_path)
    os.utime(tmp_path / shards[0].path, ns=(time.time_ns(), time.time_ns()))
    opened.clear()
    assert _unfinished(manifest, tmp_path)[0] == []
    assert opened == [0]


def test_a_shard_that_no_listing_shows_is_opened_by_name(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_all(manifest, tmp_path)
    monkeypatch.setattr(module, "look", lambda folder: {})
    assert _unfinished(manifest, tmp_path)[0] == []


def test_any_damage_of_the_index_is_harmless(manifest: Manifest, tmp_path: Path) -> None:
    commit_all(manifest, tmp_path, {12: "bad"})
    before = _unfinished(manifest, tmp_path)
    index = tmp_path / "shards" / "0000" / NAME
    content = index.read_bytes()
    for place in range(0, len(content), 7):
        index.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        assert _unfinished(manifest, tmp_path) == before
    for other in (b"", content[: len(content) // 2], b"PAR1"):
        index.write_bytes(other)
        assert read_index(index.parent) == {}
        assert _unfinished(manifest, tmp_path) == before


def test_an_index_of_another_plan_says_nothing(manifest: Manifest, tmp_path: Path) -> None:
    commit_all(manifest, tmp_path)
    _unfinished(manifest, tmp_path)
    other = Manifest(job="judge", fingerprint="0" * 64, identity={}, inputs=manifest.inputs, shard_rows=10)
    assert _unfinished(other, tmp_path)[0] == [0, 1, 2]
    assert _unfinished(manifest, tmp_path)[0] == []


def test_a_folder_that_cannot_be_written_has_no_index(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_all(manifest, tmp_path)
    (tmp_path / "shards" / "0000" / NAME).mkdir()  # nothing can be renamed to it
    assert _unfinished(manifest, tmp_path)[0] == []


def test_a_state_is_of_sizes_and_times(manifest: Manifest, tmp_path: Path) -> None:
    shards = commit_all(manifest, tmp_path)
    before = state(manifest, tmp_path)
    assert state(manifest, tmp_path) == before
    os.utime(tmp_path / shards[1].path, ns=(1, 1))
    touched = state(manifest, tmp_path)
    (tmp_path / shards[1].path).unlink()
    assert len({before, touched, state(manifest, tmp_path)}) == 3
