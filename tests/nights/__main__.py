"""`make nights`: nights in which files come and go, rows change, disks fill and runs are killed, on one store.

Prints a table. Each night's result and submission must be those of a run from nothing, and only what no night asked
before may be computed.
"""

import argparse
import tempfile
from pathlib import Path

from tests.nights.battles import battles
from tests.nights.nights import JOBS, Nights
from tests.running import command_line

_FILE_SIZES = (2_000, 8_000, 32_000)  # bytes: too small for a plan, for a shard, for a result


def main() -> None:
    """Run all nights and print the table; exit 1 where one is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100, help="of all files together")
    parser.add_argument("--jobs", nargs="*", default=list(JOBS), choices=list(JOBS))
    options = parser.parse_args()
    print(
        "| job | night | rows | computed | remembered | as from nothing | seconds |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    sound = True
    for job in options.jobs:
        with tempfile.TemporaryDirectory() as folder:
            for night in Nights(Path(folder), JOBS[job], battles(options.rows), command_line).nights(_FILE_SIZES):
                print(night.line(job), flush=True)
                sound = sound and not night.wrong
    raise SystemExit(0 if sound else 1)


if __name__ == "__main__":
    main()
