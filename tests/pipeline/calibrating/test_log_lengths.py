import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from lib.data.manifest import read_manifest
from lib.pipeline.calibrating.log_lengths import log_lengths
from tests.jobs.calibrated_runs import battles, log_length, run, write
from tests.running import in_process


def test_only_chosen_rows_and_repeated_ones_in_the_order_of_the_result(tmp_path: Path) -> None:
    rows = [row for row in battles(0, rows=12) for _ in range(2)]  # each asks what another asks
    rows = [[f"{n}", *row[1:]] for n, row in enumerate(rows)]
    run("judge", write(tmp_path / "b.csv", rows), tmp_path / "run", "data.fold=1", "data.folds=3", "data.limit=6")
    found = log_lengths(read_manifest(tmp_path / "run"), tmp_path / "run")
    ids = pq.read_table(tmp_path / "run" / "result.parquet")["id"].to_pylist()
    assert ids == [str(n) for n in range(1, 19, 3)]
    np.testing.assert_allclose(found, log_length([rows[int(n)] for n in ids]))


def test_whole_conversations(tmp_path: Path) -> None:
    def turns(*texts: str) -> list[dict[str, str]]:
        return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]

    lines = [
        {"question_id": "1", "conversation_a": turns("q", "four"), "conversation_b": turns("q", "答え")},
        {"question_id": "2", "conversation_a": turns("q", "1", "r", "23"), "conversation_b": turns("q", "", "r", "")},
        {"question_id": "3", "conversation_a": turns("q", "four"), "conversation_b": turns("q", "four")},
    ]
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps({**line, "winner": "tie"}) + "\n" for line in lines), encoding="utf-8")
    line = ["data=arena_conversations", f"data.path={path}", "data.columns.id=question_id"]
    in_process("arena", "engine=dummy", "executor=inline", *line, "store.dir=null", f"run.dir={tmp_path}/run")
    found = log_lengths(read_manifest(tmp_path / "run"), tmp_path / "run")
    np.testing.assert_allclose(found, np.log([5 / 3, 4 / 1, 1]))
    path.unlink()  # the run has its rows itself
    np.testing.assert_allclose(log_lengths(read_manifest(tmp_path / "run"), tmp_path / "run"), found)
