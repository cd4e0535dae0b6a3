from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.data import merging
from lib.data.manifest import Manifest, Shard
from lib.data.merging import merge_shards
from lib.data.reading.input_file import InputFile
from lib.data.shards import commit, read_footer, unfinished
from lib.errors import RunFailed

FINGERPRINT = "f" * 64


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    (tmp_path / "shards").mkdir()
    file = InputFile(source="x.csv", size=1, mtime_ns=2, sha256="s", rows=25, parquet="input/0.parquet", canonical=True)
    return Manifest(job="judge", fingerprint=FINGERPRINT, identity={}, inputs=(file,), shard_rows=10)


def result(rows: range, errors: dict[int, str] | None = None) -> pa.Table:
    errors = errors or {}
    return pa.table(
        {
            "file": pa.array(["x.csv"] * len(rows)),
            "row": pa.array(rows, pa.int64()),
            "id": pa.array([f"id{row}" for row in rows]),
            "label": pa.array([0] * len(rows), pa.int8()),
            "p_a": pa.array([None if row in errors else 0.5 for row in rows], pa.float64()),
            "p_b": pa.array([None if row in errors else 0.25 for row in rows], pa.float64()),
            "p_tie": pa.array([None if row in errors else 0.25 for row in rows], pa.float64()),
            "tokens": pa.array([None if row in errors else 100 for row in rows], pa.int32()),
            "error": pa.array([errors.get(row) for row in rows], pa.string()),
        }
    )


def commit_all(manifest: Manifest, folder: Path, errors: dict[int, str] | None = None) -> list[Shard]:
    shards = manifest.shards()
    for shard in shards:
        commit(result(range(shard.start, shard.stop), errors), shard, manifest, folder, seconds=1.5)
    return shards


def test_footer_says_whose_it_is(manifest: Manifest, tmp_path: Path) -> None:
    shard = manifest.shards()[1]
    assert read_footer(shard, manifest, tmp_path) is None
    commit(result(range(10, 20), {13: "bad"}), shard, manifest, tmp_path, seconds=1.5)
    footer = read_footer(shard, manifest, tmp_path)
    assert footer is not None
    assert (footer.fingerprint, footer.shard, footer.rows, footer.failed) == (FINGERPRINT, 1, 10, 1)
    assert (footer.tokens, footer.seconds) == (900, 1.5)
    assert [path.name for path in (tmp_path / "shards" / "0000").iterdir()] == [
        "shard-00000001.parquet"
    ]  # no temporary left


def test_unfinished_trusts_only_whole_shards_of_this_plan(manifest: Manifest, tmp_path: Path) -> None:
    shards = commit_all(manifest, tmp_path)
    assert unfinished(manifest, tmp_path, retry_failed=False)[0] == []
    cut_short = tmp_path / shards[0].path
    cut_short.write_bytes(cut_short.read_bytes()[:-9])
    other = Manifest(job="judge", fingerprint="0" * 64, identity={}, inputs=manifest.inputs, shard_rows=10)
    commit(result(range(20, 25)), shards[2], other, tmp_path, seconds=0)
    todo, done = unfinished(manifest, tmp_path, retry_failed=False)
    assert [shard.number for shard in todo] == [0, 2]
    assert [footer.shard for footer in done] == [1]


def test_retry_failed_does_shards_with_failures_again(manifest: Manifest, tmp_path: Path) -> None:
    commit_all(manifest, tmp_path, {12: "bad"})
    assert unfinished(manifest, tmp_path, retry_failed=False)[0] == []
    assert [shard.number for shard in unfinished(manifest, tmp_path, retry_failed=True)[0]] == [1]


def test_merge_holds_every_row_once_in_order(manifest: Manifest, tmp_path: Path) -> None:
    commit_all(manifest, tmp_path, {3: "why", 12: "why", 13: "other"})
    merged = merge_shards(manifest, tmp_path)
    assert (merged.rows, merged.failed) == (25, 3)
    assert merged.first_failure == "x.csv, row 3: why"
    whole = pq.read_table(tmp_path / "result.parquet")
    assert whole["row"].to_pylist() == list(range(25))
    failures = pq.read_table(tmp_path / "failures.parquet")
    assert failures["row"].to_pylist() == [3, 12, 13]
    assert failures["error"].to_pylist() == ["why", "why", "other"]


def test_merge_refuses_a_missing_shard(manifest: Manifest, tmp_path: Path) -> None:
    shards = commit_all(manifest, tmp_path)
    (tmp_path / shards[1].path).unlink()
    with pytest.raises(RunFailed, match=r"1 of 3 shards is unfinished \(numbers 1\)"):
        merge_shards(manifest, tmp_path)
    assert not (tmp_path / "result.parquet").exists()


def test_merge_refuses_a_row_that_is_there_twice(manifest: Manifest, tmp_path: Path) -> None:
    shards = commit_all(manifest, tmp_path)
    commit(result(range(9, 19)), shards[1], manifest, tmp_path, seconds=0)
    with pytest.raises(RunFailed, match="row 9 is there twice"):
        merge_shards(manifest, tmp_path)
    assert not (tmp_path / "result.parquet").exists()


def test_rows_of_each_input_begin_anew_and_make_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_GROUP_ROWS", 20)
    files = [
        InputFile(source=f"{n}.csv", size=1, mtime_ns=2, sha256="s", rows=n, parquet="input/0.parquet", canonical=True)
        for n in (25, 0, 7, 9)
    ]
    several = Manifest(job="judge", fingerprint=FINGERPRINT, identity={}, inputs=tuple(files), shard_rows=10)
    (tmp_path / "shards").mkdir()
    commit_all(several, tmp_path)
    assert merge_shards(several, tmp_path).rows == 41
    assert pq.read_table(tmp_path / "result.parquet")["row"].to_pylist() == [*range(25), *range(7), *range(9)]
    metadata = pq.read_metadata(tmp_path / "result.parquet")
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [20, 12, 9]
    parts = [result(range(25)), result(range(7)), result(range(8))]
    with pytest.raises(RunFailed, match="40 rows where there must be 41"):
        merging.write_result(several, tmp_path, parts[0].schema, parts)
    parts = [result(range(25)), result(range(7)), result(range(5)), result(range(4, 8))]
    with pytest.raises(RunFailed, match="row 4 is there twice"):
        merging.write_result(several, tmp_path, parts[0].schema, parts)
