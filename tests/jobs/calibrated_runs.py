"""Battles whose labels depend, in a known way, on what the dummy engine answers."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tests.running import in_process
from tests.scoring.calibrating.drawing import draw, softmax

ROWS = 600
DUMMY = ["engine=dummy", "executor=inline", "data=arena", "store.dir=null"]
HEADER = ["id", "prompt", "response_a", "response_b"]
WINNERS = ["winner_model_a", "winner_model_b", "winner_tie"]


def battles(seed: int, rows: int = ROWS) -> list[list[str]]:
    """Two battles about each question, with responses of one or two turns and any length."""
    rng = np.random.default_rng(seed)

    def response() -> str:
        turns = [word * int(rng.integers(1, 300)) for word in ("a", "あ")[: rng.integers(1, 3)]]
        return json.dumps(turns)

    return [[f"{seed}-{n}", json.dumps([f"Question {seed} {n // 2}?"]), response(), response()] for n in range(rows)]


def log_length(rows: list[list[str]]) -> np.ndarray:
    a, b = (np.array([len("".join(json.loads(row[side]))) + 1.0 for row in rows]) for side in (2, 3))
    return np.log(a / b)


def write(path: Path, rows: list[list[str]], labels: np.ndarray | None = None) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*HEADER, *(WINNERS if labels is not None else [])])
        for n, row in enumerate(rows):
            writer.writerow([*row, *(np.eye(3, dtype=int)[labels[n]].tolist() if labels is not None else [])])
    return path


def run(job: str, data: Path, folder: Path, *more: str) -> Path:
    in_process(job, *DUMMY, f"data.path={data}", f"run.dir={folder}", *more)
    return folder


def columns(run: Path, *names: str) -> np.ndarray:
    table = pq.read_table(run / "result.parquet")
    return np.column_stack([table[name].to_numpy() for name in names])


def orders(run: Path) -> tuple[np.ndarray, np.ndarray]:
    ab, ba = (columns(run, *(f"{order}_p_{c}" for c in ("a", "b", "tie"))) for order in ("ab", "ba"))
    return ab, ba


def labelled_judge(folder: Path) -> Path:
    """A run of jobs.judge, whose mean of orders is to be raised to 0.4, and ties to be made rarer by e^-0.5."""
    rows = battles(1)
    asked = run("judge", write(folder / "unlabelled.csv", rows), folder / "asked")
    ab, ba = orders(asked)
    p = softmax(0.4 * np.log((ab + ba) / 2) + [0.0, 0.0, -0.5])
    labels = draw(softmax(2.5 * np.log(p)), np.random.default_rng(2))  # 1.0 of the log-probabilities, ties -1.25
    return run("judge", write(folder / "labelled.csv", rows, labels), folder / "judge")


def labelled_arena(folder: Path) -> Path:
    """A run of jobs.arena, with z = 2 (a - b) - 0.8 ln(length of A / length of B)."""
    rows = battles(3)
    asked = run("arena", write(folder / "unrewarded.csv", rows), folder / "asked_arena")
    a, b = columns(asked, "score_a", "score_b").T
    z = 2 * (a - b) - 0.8 * log_length(rows)
    p = softmax(np.stack([z / 2, -z / 2, np.full_like(z, -0.3)], axis=1))
    labels = draw(p, np.random.default_rng(4))
    return run("arena", write(folder / "rewarded.csv", rows, labels), folder / "arena")
