"""A second night of as many rows, of which one in a hundred is new: time and memory of the driver, beside the first.

python -m tests.bench.second_night [ROWS …]
python -m tests.bench.second_night made ROWS …

With `made` the store is filled with made-up answers, so that millions of rows need no first night; the input is then
Parquet.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.joining.keys import KEY, content_keys
from lib.data.rows.base import ITEMS
from lib.pipeline.result_rows import stored_schema
from lib.tasks.pairwise import Pairwise, PairwiseConfig, Swap
from lib.types import BATTLE_TEXTS
from tests.bench.judging import planned
from tests.pipeline.conftest import PROMPT

ROWS = (10_000, 1_000_000)
TASK = Pairwise(PairwiseConfig(swap=Swap.none), PROMPT)
_BLOCK = 250_000


def main() -> None:
    """Print a table: per number of rows and night, rows computed, seconds and peak memory of the driver process."""
    print("| rows | night | computed | seconds | driver peak MiB |\n|---|---|---|---|---|")
    if sys.argv[1:2] == ["made"]:
        for rows in map(int, sys.argv[2:]):
            _made(rows)
        return
    for rows in map(int, sys.argv[1:]) if len(sys.argv) > 1 else ROWS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for night, first in (("first", 0), ("second", rows // 100), ("quiet", rows // 100)):
                _write(folder / "battles.csv", first, first + rows)
                seconds, peak = _measure(folder, night)
                computed = json.loads((folder / night / "metrics.json").read_text())["computed"]
                print(f"| {rows:,} | {night} | {computed:,} | {seconds:.1f} | {peak:.0f} |", flush=True)


def _made(rows: int) -> None:
    known = rows - rows // 100
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        schema = pa.schema({"id": pa.string(), **dict.fromkeys(BATTLE_TEXTS, ITEMS)})
        pq.write_table(_battles(0, 1, schema), folder / "battles.parquet")
        with planned([*_line(folder, "battles.parquet"), "run.name=first"]) as run:
            answers = run.answers
        assert answers is not None
        with pq.ParquetWriter(folder / "battles.parquet", schema) as file:
            for first in range(0, rows, _BLOCK):
                block = _battles(first, min(first + _BLOCK, rows), schema)
                file.write_table(block)
                if first < known:
                    answers.append(_answers(block.slice(0, known - first)))
        for night in ("second", "quiet"):
            seconds, peak = _measure(folder, night, "battles.parquet")
            computed = json.loads((folder / night / "metrics.json").read_text())["computed"]
            print(f"| {rows:,} | {night} | {computed:,} | {seconds:.1f} | {peak:.0f} |", flush=True)


def _battles(first: int, stop: int, schema: pa.Schema) -> pa.Table:
    numbers = np.arange(first, stop).astype(str)
    texts = {"prompt": [[f"q {n}"] for n in numbers], "response_a": [["a"]] * len(numbers)}
    return pa.table({"id": numbers, **texts, "response_b": [["b"]] * len(numbers)}, schema)


def _answers(rows: pa.Table) -> pa.Table:
    """Made-up answers of `Pairwise` to some rows, in one order."""
    n = rows.num_rows
    logprobs = np.log(np.random.default_rng(n).dirichlet((1, 1, 1), n)).astype(np.float32).ravel()
    cells: dict[str, Any] = {KEY: content_keys(rows, BATTLE_TEXTS)}
    for field in stored_schema(TASK):
        count = pa.types.is_integer(field.type)
        cells[field.name] = pa.repeat(pa.scalar(7, pa.int32()), n) if count else pa.nulls(n, field.type)
    cells["ab_logprobs"] = pa.FixedSizeListArray.from_arrays(logprobs, 3)
    return pa.table(cells)


def _line(folder: Path, name: str) -> list[str]:
    store = f"store.dir={folder}/store"
    return ["data=arena", f"data.path={folder}/{name}", "engine=dummy", "judge.swap=none", "executor=inline", store]


def _write(path: Path, first: int, stop: int) -> None:
    with path.open("w") as file:
        file.write("id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n")
        for row in range(first, stop):
            texts = ",".join(f'"{json.dumps([text]).replace(chr(34), chr(34) * 2)}"' for text in (f"q {row}", "a", "b"))
            file.write(f"{row},{texts},{row % 3 // 2},{row % 3 % 2},{int(row % 3 == 0)}\n")


def _measure(folder: Path, night: str, name: str = "battles.csv") -> tuple[float, float]:
    """Seconds and peak MiB of the driver process, as the kernel accounts for it."""
    command = [sys.executable, "-m", "jobs.judge", *_line(folder, name), f"run.dir={folder}/{night}"]
    start = time.monotonic()
    with (folder / f"{night}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, (folder / f"{night}.log").read_text()
    return time.monotonic() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
