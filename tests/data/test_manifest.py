from pathlib import Path

import pytest

from lib.data.manifest import Manifest, fingerprint, flatten, read_manifest, refuse_another_plan
from lib.data.reading.input_file import InputFile
from lib.errors import RunFolderError


def _input(rows: int) -> InputFile:
    return InputFile(
        source="x.csv", size=1, mtime_ns=2, sha256="s", rows=rows, parquet="input/00000.parquet", canonical=True
    )


def _manifest(keys: dict[str, object], rows: tuple[int, ...] = (25, 7)) -> Manifest:
    inputs = tuple(_input(n) for n in rows)
    return Manifest(job="judge", fingerprint=fingerprint(keys), identity=keys, inputs=inputs, shard_rows=10)


def test_shards_cover_every_row_once_and_cross_no_file() -> None:
    shards = _manifest({}).shards()
    assert [(s.number, s.input, s.start, s.stop) for s in shards] == [
        (0, 0, 0, 10), (1, 0, 10, 20), (2, 0, 20, 25), (3, 1, 0, 7),
    ]  # fmt: skip


def test_shards_are_a_sequence_that_is_not_held() -> None:
    shards = _manifest({}, (25, 0, 7, 10)).shards()
    assert len(shards) == 5
    assert list(shards) == [shards[n] for n in range(5)] == shards[:]
    assert (shards[-1], shards[3:]) == (shards[4], [shards[3], shards[4]])
    assert [(s.input, s.start, s.stop) for s in shards[2:]] == [(0, 20, 25), (2, 0, 7), (3, 0, 10)]
    with pytest.raises(IndexError):
        shards[5]
    many = _manifest({}, (2_000_000_000,)).shards()
    assert many[199_999_999].path == "shards/199999/shard-199999999.parquet"
    assert many[12_345].path == "shards/0012/shard-00012345.parquet"


def test_round_trip(tmp_path: Path) -> None:
    manifest = _manifest({"engine.model": "m", "data.limit": None, "prompt.labels": ["A", "同等"]})
    manifest.write(tmp_path)
    assert read_manifest(tmp_path) == manifest


def test_fingerprint_ignores_the_order_of_keys_only() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_another_plan_is_refused_by_the_keys_that_differ(tmp_path: Path) -> None:
    manifest = _manifest({"engine.dtype": "float32", "data.limit": None, "same": 1})
    refuse_another_plan(manifest, {"same": 1, "data.limit": None, "engine.dtype": "float32"}, tmp_path)
    with pytest.raises(RunFolderError) as refused:
        refuse_another_plan(manifest, {"engine.dtype": "bfloat16", "data.limit": None, "same": 1, "new": 3}, tmp_path)
    message = str(refused.value)
    assert 'engine.dtype: was "float32", now "bfloat16"' in message
    assert "new: was not there, now 3" in message
    assert "same" not in message


def test_a_key_of_another_version_is_named_though_its_value_is_null(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"data\.new: was not there, now null"):
        refuse_another_plan(_manifest({"same": 1}), {"same": 1, "data.new": None}, tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[1]", "null", '"x"', "[" * 100_000, '{"inputs": [], "job": "x"}'])
def test_damaged_manifest(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"manifest\.json"):
        read_manifest(tmp_path)


def test_any_flipped_bit_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    manifest = _manifest({"engine.model": "m", "n": 1.5, "prompt.labels": ["A", "同等"]})
    manifest.write(tmp_path)
    path = tmp_path / "manifest.json"
    content = path.read_bytes()
    refused = 0
    for bit in range(len(content) * 8):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            assert read_manifest(tmp_path) == manifest
        except RunFolderError:
            refused += 1
    assert refused > len(content) * 6


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"run\.dir"):
        read_manifest(tmp_path / "none")


def test_flatten() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}
