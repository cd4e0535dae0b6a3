"""Run folders of battles as far as comparisons read them: a result, and a plan that says what it is of."""

from pathlib import Path

import pyarrow as pa

from lib.data import parquet
from lib.data.manifest import Manifest, fingerprint
from lib.data.reading.input_file import InputFile
from lib.types import VERDICTS

NAMES = ("p_a", "p_b", "p_tie")


def write_run(
    folder: Path, probabilities, labels=None, *, ids=None, questions=None, rows=None, content="one", job="judge"
):
    """A finished run. probabilities: [n, 3], None where a row failed; labels: [n] numbers; content: of its input."""
    n = len(probabilities)
    folder.mkdir(parents=True)
    source = InputFile(
        source="in.csv", size=1, mtime_ns=1, sha256=content, rows=n, parquet="in.parquet", canonical=True
    )
    plan = Manifest(job=job, fingerprint=fingerprint({}), identity={}, inputs=(source,), shard_rows=8)
    plan.write(folder)
    columns = {
        "file": pa.array(["in.csv"] * n),
        "row": pa.array(range(n) if rows is None else rows, pa.int64()),
        "id": pa.array([None] * n if ids is None else ids, pa.string()),
        "question": pa.array([None] * n if questions is None else questions, pa.string()),
        "label": pa.array(
            [None if labels is None or label < 0 else VERDICTS[label] for label in labels or [-1] * n], pa.string()
        ),
        "error": pa.array(["failed" if p is None else None for p in probabilities], pa.string()),
        **{
            name: pa.array([None if p is None else float(p[place]) for p in probabilities], pa.float64())
            for place, name in enumerate(NAMES)
        },
    }
    parquet.write(pa.table(columns), folder / "result.parquet")
    return folder


def write_submission(path: Path, ids, probabilities):
    lines = [
        f"{key},{a:.6f},{b:.6f},{1 - round(a, 6) - round(b, 6):.6f}"
        for key, (a, b, _) in zip(ids, probabilities, strict=True)
    ]
    path.write_text("\n".join(["id,winner_model_a,winner_model_b,winner_tie", *lines]) + "\n")
    return path
