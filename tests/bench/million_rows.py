"""Planning, running and resuming 1,000,000 rows with the dummy engine, beside 10,000: memory of the driver and time.

python -m tests.bench.million_rows
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = (10_000, 1_000_000)


def main() -> None:
    """Print a table: per number of rows and step, seconds and peak memory of the driver process."""
    print("| rows | step | seconds | driver peak MiB |\n|---|---|---|---|")
    peaks = {}
    with tempfile.TemporaryDirectory() as name:
        for rows in ROWS:
            folder = Path(name) / str(rows)
            folder.mkdir()
            _write(folder / "battles.csv", rows)
            for step, job in (("plan", "plan"), ("run", "judge"), ("resume", "judge")):
                seconds, peak = _measure(job, folder)
                peaks[rows, step] = peak
                print(f"| {rows:,} | {step} | {seconds:.1f} | {peak:.0f} |", flush=True)
            assert sum(1 for _ in (folder / "run" / "submission.csv").open()) == rows + 1
    for step in ("plan", "run", "resume"):
        print(f"{step}: {peaks[ROWS[1], step] - peaks[ROWS[0], step]:+.0f} MiB from {ROWS[0]:,} to {ROWS[1]:,} rows")


def _write(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n")
        for row in range(rows):
            texts = ",".join(f'"{json.dumps([text]).replace(chr(34), chr(34) * 2)}"' for text in (f"q {row}", "a", "b"))
            file.write(f"{row},{texts},{row % 3 // 2},{row % 3 % 2},{int(row % 3 == 0)}\n")


def _measure(job: str, folder: Path) -> tuple[float, float]:
    """Seconds and peak MiB of the driver process, as the kernel accounts for it."""
    line = ["data=arena", f"data.path={folder}/battles.csv", "engine=dummy", "judge.swap=none", "executor=ray"]
    command = [sys.executable, "-m", f"jobs.{job}", *line, f"run.dir={folder}/run"]
    start = time.monotonic()
    with (folder / f"{job}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, (folder / f"{job}.log").read_text()
    return time.monotonic() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
