"""From the command to a refusal: medians, beside a Python that only imports what composing and reading are done with.

python -m tests.bench.refusals [TIMES]
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lib.errors import ExitCode

_BESIDE = [sys.executable, "-c", "import hydra, pyarrow.compute, pyarrow.parquet"]
_LINES = {
    "no such job": "jugde",
    "no such key": "judge engne=x",
    "no such key of a config": "judge engine.max_seqs=4",
    "no such config": "judge engine=dumy",
    "a config of another kind": "judge data=documents",
    "no such value": "judge judge.mode=foo",
    "a value that is missing": "judge data=arena",
    "no such option": "judge --helpp",
    "no such file": "judge data.path=nowhere.csv",
    "no such model": "judge engine.model=/nowhere",
    "a column that is missing": "judge data.columns.prompt=promt",
}


def main() -> None:
    """Print a table of seconds."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        lines = {what: [sys.executable, "-m", "jobs", *line.split()] for what, line in _LINES.items()}
        for line in lines.values():
            line += [] if line[3] == "jugde" else [f"run.root={folder}", f"store.dir={folder}/store"]
        taken: dict[str, list[float]] = {what: [] for what in ("only imports", *lines)}
        for _ in range(times):
            taken["only imports"].append(_seconds(_BESIDE, 0))
            for what, line in lines.items():
                taken[what].append(_seconds(line, ExitCode.USAGE))
        assert not list(Path(folder).glob("judge*")), "a refusal has left a run folder"
    beside = statistics.median(taken["only imports"])
    print("| refused | seconds | of only imports |\n|---|---|---|")
    for what, seconds in taken.items():
        print(f"| {what} | {statistics.median(seconds):.2f} | {statistics.median(seconds) / beside:.1f} |")


def _seconds(line: list[str], code: int) -> float:
    start = time.monotonic()
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{line}: {done.returncode}\n{done.stderr}"
    return time.monotonic() - start


if __name__ == "__main__":
    main()
