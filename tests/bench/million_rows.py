"""Planning, running, resuming and merging many rows with the dummy engine: memory of the driver, and time.

python -m tests.bench.million_rows                                  # 10,000 and 1,000,000 rows, run for real
python -m tests.bench.million_rows --run 10000000                   # as many as these, by one worker
python -m tests.bench.million_rows 10000000 50000000 [--shards N]   # the shards are written by this script, not run
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.manifest import Manifest, Shard, read_manifest
from lib.data.run_folder import MANIFEST, RESULT, SUBMISSION
from lib.data.shards import commit

ROWS = (10_000, 1_000_000)
_LINE = ("engine=dummy", "judge.swap=none", "data=arena")
_SAMPLE_ROWS = 1024


def main() -> None:
    """Print a table: per number of rows and step, seconds and peak memory of the driver process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, help="of runs whose shards are written here")
    parser.add_argument("--run", nargs="+", type=int, default=[], help="rows of runs for real, by one worker")
    parser.add_argument("--shards", type=int, help="of each of these runs; else as many as a run would have")
    parser.add_argument("--folder", help="where there is room for them")
    options = parser.parse_args()
    print("| rows | shards | executor | step | seconds | driver peak MiB |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for rows in options.rows:
            _measure_written(Path(name) / str(rows), rows, options.shards)
        for rows in options.run:
            _measure_run(Path(name) / f"inline-{rows}", rows, "inline")
        for rows in () if options.rows or options.run else ROWS:
            for executor in ("inline", "ray"):
                _measure_run(Path(name) / f"{executor}-{rows}", rows, executor)


def _measure_run(folder: Path, rows: int, executor: str) -> None:
    """A run of its own, from its plan to its resumption."""
    folder.mkdir()
    _write_battles(folder / "battles.csv", rows)
    for step, job in (("plan", "plan"), ("run", "judge"), ("resume", "judge")):
        _step(folder, step, job, [*_line(folder), f"executor={executor}"], executor)
    with (folder / "run" / SUBMISSION).open() as file:
        assert sum(1 for _ in file) == rows + 1


def _measure_written(folder: Path, rows: int, shards: int | None) -> None:
    """A run of which all shards are there, since this script wrote them: it is merged, and resumed."""
    folder.mkdir()
    _write_battles(folder / "battles.csv", _SAMPLE_ROWS)
    line = [*_line(folder), "executor=inline"]
    _quietly(folder, "judge", line)
    manifest = read_manifest(folder / "run")
    sample = pq.read_table(folder / "run" / RESULT)
    shard_rows = -(-rows // shards) if shards else min(max(-(-rows // 200), 8), 1024)
    manifest = replace(manifest, inputs=(replace(manifest.inputs[0], rows=rows),), shard_rows=shard_rows)
    (folder / "run" / MANIFEST).unlink()
    manifest.write(folder / "run")
    began = time.monotonic()
    _write_shards(manifest, folder / "run", sample)
    print(f"{len(manifest.shards()):,} shards written in {time.monotonic() - began:.0f} s", file=sys.stderr)
    _step(folder, "resume, no index of footers, merge, report", "judge", line, "inline")
    _step(folder, "the same, with an index", "judge", [*line, "run.max_error_rate=0.5"], "inline")
    _step(folder, "resume, nothing new", "judge", [*line, "run.max_error_rate=0.5"], "inline")
    _step(folder, "status", "status", [f"run.dir={folder}/run"], "inline")


def _line(folder: Path) -> list[str]:
    return [*_LINE, f"data.path={folder}/battles.csv", f"run.dir={folder}/run"]


def _write_battles(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n")
        for row in range(rows):
            texts = ",".join(f'"{json.dumps([text]).replace(chr(34), chr(34) * 2)}"' for text in (f"q {row}", "a", "b"))
            file.write(f"{row},{texts},{row % 3 // 2},{row % 3 % 2},{int(row % 3 == 0)}\n")


def _write_shards(manifest: Manifest, run: Path, sample: pa.Table) -> None:
    """Shards like those of a run, whose rows are those of a sample, again and again."""
    synced, os.fsync = os.fsync, lambda _: None  # nobody will miss them
    for shard in manifest.shards():
        commit(_rows(shard, sample), shard, manifest, run, seconds=1.0)
    os.fsync = synced


def _rows(shard: Shard, sample: pa.Table) -> pa.Table:
    numbers = np.arange(shard.start, shard.stop)
    table = sample.take(pa.array(numbers % len(sample)))
    table = table.set_column(1, "row", pa.array(numbers, pa.int64()))
    return table.set_column(2, "id", pa.array(numbers).cast(pa.string()))


def _step(folder: Path, step: str, job: str, line: list[str], executor: str) -> None:
    seconds, peak = _quietly(folder, job, line)
    manifest = read_manifest(folder / "run")
    counts = f"| {manifest.rows:,} | {len(manifest.shards()):,} | {executor}"
    print(f"{counts} | {step} | {seconds:.1f} | {peak:.0f} |", flush=True)


def _quietly(folder: Path, job: str, line: list[str]) -> tuple[float, float]:
    """Seconds and peak MiB of the driver process, as the kernel accounts for it."""
    start = time.monotonic()
    with (folder / f"{job}.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", f"jobs.{job}", *line], stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, (folder / f"{job}.log").read_text()
    return time.monotonic() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
