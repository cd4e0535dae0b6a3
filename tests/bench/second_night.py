"""A second night of as many rows, of which one in a hundred is new: time and memory of the driver, beside the first.

python -m tests.bench.second_night [ROWS …]
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
    """Print a table: per number of rows and night, rows computed, seconds and peak memory of the driver process."""
    print("| rows | night | computed | seconds | driver peak MiB |\n|---|---|---|---|---|")
    for rows in map(int, sys.argv[1:]) if len(sys.argv) > 1 else ROWS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for night, first in (("first", 0), ("second", rows // 100), ("quiet", rows // 100)):
                _write(folder / "battles.csv", first, first + rows)
                seconds, peak = _measure(folder, night)
                computed = json.loads((folder / night / "metrics.json").read_text())["computed"]
                print(f"| {rows:,} | {night} | {computed:,} | {seconds:.1f} | {peak:.0f} |", flush=True)


def _write(path: Path, first: int, stop: int) -> None:
    with path.open("w") as file:
        file.write("id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n")
        for row in range(first, stop):
            texts = ",".join(f'"{json.dumps([text]).replace(chr(34), chr(34) * 2)}"' for text in (f"q {row}", "a", "b"))
            file.write(f"{row},{texts},{row % 3 // 2},{row % 3 % 2},{int(row % 3 == 0)}\n")


def _measure(folder: Path, night: str) -> tuple[float, float]:
    """Seconds and peak MiB of the driver process, as the kernel accounts for it."""
    line = ["data=arena", f"data.path={folder}/battles.csv", "engine=dummy", "judge.swap=none", "executor=inline"]
    command = [sys.executable, "-m", "jobs.judge", *line, f"run.dir={folder}/{night}", f"store.dir={folder}/store"]
    start = time.monotonic()
    with (folder / f"{night}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, (folder / f"{night}.log").read_text()
    return time.monotonic() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
