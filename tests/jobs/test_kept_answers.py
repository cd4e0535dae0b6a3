"""Answers that could not be kept: the same line again puts them into the store, though the run is finished."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Job


def test_a_finished_run_keeps_what_could_not_be_kept(
    tmp_path: Path, battles: Callable[..., Path], quick_job: Job
) -> None:
    line = ["data=arena", f"data.path={battles(5)}", "engine=dummy", "executor=inline", f"store.dir={tmp_path}/store"]
    quick_job("judge", *line, f"run.dir={tmp_path}/run")
    for path in [*(tmp_path / "store").glob("*/*.parquet"), tmp_path / "run" / "stored.json"]:
        path.unlink()  # as where the disk was full
    assert "as before" in quick_job("judge", *line, f"run.dir={tmp_path}/run").stdout
    assert len(list((tmp_path / "store").glob("*/*.parquet"))) == 1
    quick_job("judge", *line, f"run.dir={tmp_path}/again")
    assert json.loads((tmp_path / "again" / "metrics.json").read_text())["computed"] == 0
    quick_job("judge", *line, f"run.dir={tmp_path}/run")
    assert len(list((tmp_path / "store").glob("*/*.parquet"))) == 1
