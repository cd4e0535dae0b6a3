"""Run folders of a few rows, written in the form of a result."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lib.data import parquet
from lib.data.manifest import Manifest
from lib.data.reading.input_file import InputFile
from lib.report.viewer.row_files import find_rows
from lib.report.viewer.row_index import RowIndex, open_index
from lib.report.viewer.viewer import Viewer

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
JAPANESE = "空はなぜ青いのですか"
_SOURCE = "/somewhere/rows.csv"


def write_run(
    folder: Path,
    columns: Mapping[str, Any],
    inputs: Mapping[str, Any] | None = None,
    *,
    job: str = "generate",
    content: str = "0" * 64,
) -> Path:
    """A merged run. columns: of its result, besides file, row, id and error; inputs: of its canonical input."""
    table = pa.table(dict(columns))
    rows = table.num_rows
    place = {"file": [_SOURCE] * rows, "row": pa.array(range(rows), pa.int64())}
    own = {**place, "id": [f"id{n}" for n in range(rows)], **{name: table[name] for name in table.column_names}}
    own.setdefault("error", pa.nulls(rows, pa.string()))
    folder.mkdir(parents=True)
    parquet.write(pa.table(own), folder / "result.parquet")
    (folder / "input").mkdir()
    parquet.write(pa.table({**place, **(inputs or {})}), folder / "input" / "0.parquet")
    file = InputFile(
        source=_SOURCE, size=1, mtime_ns=1, sha256=content, rows=rows, parquet="input/0.parquet", canonical=True
    )
    Manifest(job=job, fingerprint="f", identity={}, inputs=(file,), shard_rows=8).write(folder)
    return folder


def battles(rows: int = 12) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns of a result of battles, and of their input: wrong, flipped, cut and failed rows among them.

    Of row n: p_a rises with n, every third row is wrong, every fourth flips, every fifth is cut, row 7 failed.
    """
    numbers = range(rows)
    p_a = [None if n == 7 else 0.4 + n / (2 * rows) for n in numbers]
    verdicts = [None if n == 7 else "A" for n in numbers]
    columns: dict[str, Any] = {
        "model_a": [f"m{n % 2}" for n in numbers],
        "model_b": [f"m{n % 3}" for n in numbers],
        "label": ["B" if n % 3 == 0 else "A" for n in numbers],
        "p_a": pa.array(p_a, pa.float64()),
        "p_b": pa.array([None if p is None else (1 - p) / 2 for p in p_a], pa.float64()),
        "p_tie": pa.array([None if p is None else (1 - p) / 2 for p in p_a], pa.float64()),
        "verdict": pa.array(verdicts, pa.string()),
        "tokens": pa.array([100 + n for n in numbers], pa.int32()),
        "cut_prompt": pa.array([7 if n % 5 == 0 else 0 for n in numbers], pa.int32()),
        "error": pa.array(["the engine said no" if n == 7 else None for n in numbers], pa.string()),
    }
    for order in ("ab", "ba"):
        turned = order == "ba"
        columns |= {
            f"{order}_p_a": [float("nan") if n == 7 else (0.1 if turned and n % 4 == 0 else 0.8) for n in numbers],
            f"{order}_p_b": [float("nan") if n == 7 else (0.8 if turned and n % 4 == 0 else 0.1) for n in numbers],
            f"{order}_p_tie": [float("nan") if n == 7 else 0.1 for n in numbers],
        }
    texts = pa.list_(pa.string())
    inputs = {
        "prompt": pa.array([[JAPANESE if n == 2 else EVIL if n == 3 else f"question {n}?"] for n in numbers], texts),
        "response_a": pa.array([["the sky is blue", f"turn {n}"] for n in numbers], texts),
        "response_b": pa.array([["the sea is blue", None] for _ in numbers], texts),
    }
    return columns, inputs


def index_of(folder: Path) -> RowIndex:
    return open_index(find_rows(folder))


def viewer_of(folder: Path) -> Viewer:
    """Its pages, with prompts that say which row they are of."""
    return Viewer(
        index=index_of(folder),
        read_source=lambda source, row: {"text": f"source {source}, row {row}"},
        make_prompts=lambda source, row: [f"prompt of row {row}"],
    )


def numbers(index: RowIndex, query: str) -> Sequence[int]:
    from lib.report.viewer.selection import read_query

    return index.page(read_query(query), size=1000)
