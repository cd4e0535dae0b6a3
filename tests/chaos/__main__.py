"""`make chaos`: kills, signals, full disks, two drivers, two runs and flipped bits, with the dummy engine.

Prints a table. A try is survived where the run, begun again, ends with the result of an undisturbed one, or says in a
sentence what is damaged. Each try is a fork of this process, which has imported everything.
"""

import argparse
import random
import tempfile
from pathlib import Path

from tests.chaos.tries import Chaos, Kind

FULL = {
    Kind.KILL: 300,
    Kind.SIGNAL: 200,
    Kind.TWO_DRIVERS: 50,
    Kind.FULL_DISK: 100,
    Kind.FLIP_INPUT: 250,
    Kind.FLIP_SHARD: 250,
    Kind.FLIP_MANIFEST: 250,
    Kind.FLIP_RESULT: 250,
    Kind.TWO_RUNS: 50,
    Kind.FLIP_STORE: 250,
}


def main() -> None:
    """Try all kinds and print the table; exit 1 where anything was lost, doubled or told as a traceback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the tries of each kind")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--kinds", nargs="*", choices=[kind.value for kind in Kind])
    options = parser.parse_args()
    print(f"seed {options.seed}\n| kind | tries | survived | lost | doubled | other result | tracebacks |")
    print("|---|---|---|---|---|---|---|", flush=True)
    clean = True
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(Path(folder))
        for kind, tries in FULL.items():
            if options.kinds and kind.value not in options.kinds:
                continue
            found = chaos.try_out(kind, max(1, round(tries * options.share)), random.Random(f"{options.seed}{kind}"))
            print(found.line(kind), flush=True)
            clean = clean and found.clean
    raise SystemExit(0 if clean else 1)


if __name__ == "__main__":
    main()
