"""Reading and checking battles, beside pyarrow that reads the same file and hashes it.

python -m tests.bench.reading [ROWS [LONG_ROWS]]

Ours is all that stands before a run: the hash of the file, the check of each cell and id, the counts of the report, and
the canonical rows as Parquet in the run folder (input that is Parquet itself is read in place and not written).
pyarrow's is its reader as it comes, and SHA-256 of the whole file, or of each row's cells.
"""

import hashlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from lib.data.reading.intake import take_in
from lib.data.rows.battles import BattlesConfig
from tests.bench.measure import cost

ROUNDS = 3
NAMES = ("id", "prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie")
WORDS = ["word ", "another ", "\n\n", '"quoted" ', "it's ", "日本 ", "longer-text ", "1. "]
READ: dict[str, Callable[[Path], pa.Table]] = {
    ".csv": partial(
        pyarrow.csv.read_csv, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
    ),  # as each reader of such texts must
    ".jsonl": pyarrow.json.read_json,
    ".parquet": pq.read_table,
}


def main() -> None:
    """Print a table: per kind of rows and format, medians, and ours as a multiple of pyarrow's."""
    given = [int(argument) for argument in sys.argv[1:]]
    rows, long_rows = [*given, *(1_000_000, 200_000)[len(given) :]]
    print(
        "| rows | format | MB | pyarrow + hash of the file s (CPU) | + hash of each row s (CPU) | ours s (CPU) | "
        "ours / file | by CPU | ours / rows | ours MiB |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for kind, count, texts in (("short", rows, _short), ("1 kB a text", long_rows, _long)):
        for suffix in READ:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"battles{suffix}"
                _write(path, count, texts())
                print(f"| {count:,}, {kind} | {suffix} | {path.stat().st_size / 1e6:.0f} {_compared(path)}", flush=True)


def _compared(path: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        sides: list[Callable[[], Any]] = [
            lambda: (READ[path.suffix](path), _hash_of_file(path)),
            lambda: _hash_of_rows(READ[path.suffix](path)),
            lambda: take_in(BattlesConfig(path=str(path)), Path(folder)),
        ]
        rounds = [[_cost(side) for side in sides] for _ in range(ROUNDS)]
    wall = [statistics.median(one[side][0] for one in rounds) for side in range(3)]
    processor = [statistics.median(one[side][1] for one in rounds) for side in range(3)]
    memory = max(one[2][2] for one in rounds) / (1 << 20)
    times = " | ".join(f"{a:.2f} ({b:.2f})" for a, b in zip(wall, processor, strict=True))
    ratios = f"{wall[2] / wall[0]:.1f} | {processor[2] / processor[0]:.1f} | {wall[2] / wall[1]:.2f}"
    return f"| {times} | {ratios} | {memory:.0f} |"


def _cost(work: Callable[[], Any]) -> tuple[float, float, int]:
    """Wall seconds, seconds of all processors, and the bytes needed at the peak."""
    before = time.process_time()
    seconds, memory = cost(work)
    return seconds, time.process_time() - before, memory


def _hash_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_of_rows(table: pa.Table) -> bytes:
    columns = [
        pc.binary_join(column, "\x1f") if pa.types.is_list(column.type) else column.cast(pa.string())
        for column in table.itercolumns()
    ]
    whole = hashlib.sha256()
    for batch in pa.table(columns, table.column_names).to_batches(65_536):
        for row in pc.binary_join_element_wise(*batch.columns, "\x1e").to_pylist():
            whole.update(hashlib.sha256(row.encode()).digest())
    return whole.digest()


def _short() -> Iterator[list[str]]:
    row = 0
    while True:
        yield [f"q {row}", "a", "b"]
        row += 1


def _long() -> Iterator[list[str]]:
    source = random.Random(0)
    known = ["".join(source.choices(WORDS, k=150)) for _ in range(2000)]
    while True:
        yield source.choices(known, k=3)


def _write(path: Path, rows: int, texts: Iterator[list[str]]) -> None:
    """Battles as their owners have them: cells of CSV and Parquet are JSON, those of JSONL lists."""
    if path.suffix == ".parquet":
        columns = zip(*(_cells(row, next(texts)) for row in range(rows)), strict=True)
        pq.write_table(pa.table(dict(zip(NAMES, map(list, columns), strict=True))), path)
        return
    with path.open("w", encoding="utf-8") as file:
        if path.suffix == ".csv":
            file.write(",".join(NAMES) + "\n")
        for row in range(rows):
            name, *cells, a, b, tie = _cells(row, next(texts))
            if path.suffix == ".csv":
                quoted = ",".join('"' + str(cell).replace('"', '""') + '"' for cell in cells)
                file.write(f"{name},{quoted},{a},{b},{tie}\n")
            else:
                lists = ", ".join(f'"{key}": {cell}' for key, cell in zip(NAMES[1:4], cells, strict=True))
                winners = ", ".join(f'"{key}": {cell}' for key, cell in zip(NAMES[4:], (a, b, tie), strict=True))
                file.write(f'{{"id": "{name}", {lists}, {winners}}}\n')


def _cells(row: int, texts: list[str]) -> tuple[Any, ...]:
    return (str(row), *(json.dumps([text]) for text in texts), row % 3 // 2, row % 3 % 2, int(row % 3 == 0))


if __name__ == "__main__":
    main()
