"""`make fuzz`: mutated inputs, each refused by an OvernightError or read whole. Prints a table and seeds.

A finding is seen again with `python -m tests.fuzz --target NAME --seed N --tries 1`.
"""

import argparse
import logging
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from lib.errors import OvernightError
from lib.log import log
from tests.fuzz.mutation import mutate
from tests.fuzz.targets import TARGETS, Target


def main() -> None:
    """Try all targets and print the table; exit 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=2400, help="of each target")
    parser.add_argument("--seed", type=int, default=0, help="of the first try; each has its own, one more")
    parser.add_argument("--target", nargs="*", default=list(TARGETS), choices=list(TARGETS))
    options = parser.parse_args()
    print("| input | tries | refused | read whole | findings |\n|---|---|---|---|---|", flush=True)
    log.setLevel(logging.ERROR)
    clean = True
    for name in options.target:
        counts, kinds = Counter[str](), Counter[str]()
        for seed in range(options.seed, options.seed + options.tries):
            with tempfile.TemporaryDirectory() as folder:
                found = _try(TARGETS[name], seed, Path(folder))
            kind = found if found in ("refused", "read") else "finding"
            counts[kind] += 1
            if kind == "finding":
                kinds[found] += 1
                if kinds[found] == 1:
                    print(f"{name}, seed {seed}: {found}", file=sys.stderr, flush=True)
        clean = clean and not kinds
        print(f"| {name} | {options.tries} | {counts['refused']} | {counts['read']} | {kinds.total()} |", flush=True)
    raise SystemExit(0 if clean else 1)


def _try(target: Target, seed: int, folder: Path) -> str:
    """`refused`, `read`, or what was found."""
    source = random.Random(seed)
    suffix, files = source.choice([(suffix, files) for suffix, files in target.corpus.items() if files])
    path = folder / f"input{suffix}"
    path.write_bytes(mutate(source.choice(files), source))
    run = folder / "run"
    (run / "input").mkdir(parents=True)
    try:
        target.read(path, run)
    except OvernightError:
        return "refused"
    except Exception as error:  # the finding itself
        shutil.rmtree(run, ignore_errors=True)
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno} ({str(error).splitlines()[:1]})"
    return "read"


if __name__ == "__main__":
    main()
