"""How a plan divides its rows into shards."""

from lib.pipeline.run_plan import _shard_rows


def test_shards_are_many_and_of_rows_with_images_small() -> None:
    assert [_shard_rows(rows) for rows in (0, 10, 10_000, 1_000_000)] == [8, 8, 50, 1024]
    assert _shard_rows(1_000_000, 1_000_000 << 10) == 1024
    assert _shard_rows(1_000_000, 1_000_000 << 20) == 128
    assert _shard_rows(10, 10 << 30) == 1
