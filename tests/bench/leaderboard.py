"""jobs.leaderboard on 2 million votes between 130 systems: seconds and peak memory of the whole command.

python -m tests.bench.leaderboard [VOTES [SYSTEMS]]

The votes are about 100,000 questions, in CSV and in Parquet; each kind of ratings is a process of its own. The MiB are
those of the largest process so far.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from lib.scoring.ranking.outcomes import RatingModel

_QUESTIONS = 100_000
_WORDS = ("model_a", "model_b", "tie", "tie (bothbad)")


def main() -> None:
    """Print a table: per file and model, seconds, processor seconds, and MiB at the peak."""
    given = [int(argument) for argument in sys.argv[1:]]
    votes, systems = [*given, *(2_000_000, 130)[len(given) :]]
    print(f"{votes:,} votes between {systems} systems\n")
    print("| file | ratings | s | CPU s | MiB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        table = _votes(votes, systems)
        files = [Path(folder) / name for name in ("votes.csv", "votes.parquet")]
        pyarrow.csv.write_csv(table, files[0])
        pq.write_table(table, files[1])
        del table
        for file in files:
            for model in RatingModel:
                wall, processor, memory = _cost(file, model, Path(folder) / "out")
                print(f"| {file.suffix} | {model.value} | {wall:.1f} | {processor:.1f} | {memory:.0f} |", flush=True)


def _votes(n: int, s: int) -> pa.Table:
    rng = np.random.default_rng(0)
    strength = np.linspace(2, -2, s)
    a = rng.integers(0, s, n)
    b = (a + rng.integers(1, s, n)) % s
    p = 1 / (1 + np.exp(strength[b] - strength[a]))
    tied = rng.random(n) < np.minimum(p, 1 - p)
    winner = np.where(tied, 2 + rng.integers(0, 2, n), (rng.random(n) > p).astype(int))
    names = pa.array([f"model-{i:03d}" for i in range(s)])
    questions = pa.array([f"question {i}" for i in range(_QUESTIONS)])
    return pa.table(
        {
            "model_a": names.take(pa.array(a)),
            "model_b": names.take(pa.array(b)),
            "winner": pa.array(_WORDS).take(pa.array(winner)),
            "question": questions.take(pa.array(rng.integers(0, _QUESTIONS, n))),
        }
    )


def _cost(file: Path, model: RatingModel, out: Path) -> tuple[float, float, float]:
    """Wall seconds and processor seconds of the command, and the MiB of the largest one so far."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    line = [f"data.path={file}", f"leaderboard.model={model.value}", f"out={out}"]
    subprocess.run([sys.executable, "-m", "jobs.leaderboard", *line], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, processor, after.ru_maxrss / 1024


if __name__ == "__main__":
    main()
