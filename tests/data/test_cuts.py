from pathlib import Path

import pyarrow as pa

from lib.data import parquet
from lib.data.cuts import Cuts, read_cuts
from lib.tasks.battle_requests import TOKEN_FIELDS


def test_only_what_tasks_cut_is_counted(tmp_path: Path) -> None:
    columns = {name: pa.array([n, 0, None], kind) for n, (name, kind) in enumerate(TOKEN_FIELDS)}
    table = pa.table({**columns, "cut_off": [9, 9, 9], "cut_date": pa.array([9, 9, 9], pa.int32())})
    parquet.write(table, tmp_path / "x.parquet")
    assert read_cuts(tmp_path / "x.parquet") == Cuts(rows=1, of=3, tokens=1 + 2 + 3, most=6)
    parquet.write(table.select(["cut_off", "cut_date"]), tmp_path / "y.parquet")
    assert read_cuts(tmp_path / "y.parquet") is None
