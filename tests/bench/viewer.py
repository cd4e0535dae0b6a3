"""The viewer on many rows: when it serves, how long filters take, and its memory.

python -m tests.bench.viewer [ROWS]
"""

import http.client
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from lib.data.manifest import Manifest
from lib.data.reading.input_file import InputFile
from tests.report.viewer.small_runs import battles, write_run

_PIECE = 50_000
_QUERIES = {
    "list": "",
    "wrong": "wrong=1",
    "wrong, flipped, least sure": "wrong=1&flipped=1&order=least_sure",
    "longest": "order=longest",
    "a model": "is.model=m2",
    "page 10,000": "page=10000",
    "words that are rare": "words=question+77777%3F",
    "a row": "row=700000",
    "a row among the wrong ones, least sure": "wrong=1&order=least_sure&row=699999",
}


def main() -> None:
    """Print a table of seconds and of memory."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        _write(folder, rows)
        start = time.monotonic()
        line = [sys.executable, "-m", "jobs.view", f"run.dir={folder}"]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            place = urlsplit(server.stdout.readline().strip()).netloc
            print(f"| what | seconds |\n|---|---|\n| start | {time.monotonic() - start:.2f} |")
            for what, query in _QUERIES.items():
                start = time.monotonic()
                connection = http.client.HTTPConnection(place, timeout=120)
                connection.request("GET", f"/?{query}")
                assert connection.getresponse().read()
                print(f"| {what} | {time.monotonic() - start:.2f} |", flush=True)
            status = Path(f"/proc/{server.pid}/status").read_text()
            print(f"| peak memory, MiB | {int(status.partition('VmHWM:')[2].split()[0]) / 1024:.0f} |")
            server.terminate()


def _write(folder: Path, rows: int) -> None:
    """A run of battles in the form of a result, a piece at a time."""
    columns, inputs = battles(_PIECE)
    write_run(folder, columns, inputs, job="judge")
    for path in (folder / "result.parquet", folder / "input" / "0.parquet"):
        table = pq.read_table(path)
        with pq.ParquetWriter(path, table.schema, compression="zstd") as file:
            for first in range(0, rows, _PIECE):
                numbers = pa.array(range(first, first + _PIECE), pa.int64())
                piece = table.set_column(table.schema.get_field_index("row"), table.schema.field("row"), numbers)
                if "id" in table.column_names:
                    ids = numbers.cast(pa.string())
                    piece = piece.set_column(table.schema.get_field_index("id"), table.schema.field("id"), ids)
                if "prompt" in table.column_names:
                    prompts = pa.array([[f"question {first + n}?"] for n in range(_PIECE)], pa.list_(pa.string()))
                    piece = piece.set_column(
                        table.schema.get_field_index("prompt"), table.schema.field("prompt"), prompts
                    )
                file.write_table(piece)
    file_of = InputFile(
        source="/somewhere/rows.csv", size=1, mtime_ns=1, sha256="0" * 64, rows=rows, parquet="input/0.parquet",
        canonical=True,
    )  # fmt: skip
    (folder / "manifest.json").unlink()
    Manifest(job="judge", fingerprint="f", identity={}, inputs=(file_of,), shard_rows=1024).write(folder)


if __name__ == "__main__":
    main()
