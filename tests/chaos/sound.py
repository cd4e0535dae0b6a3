"""What an undisturbed run ends with, and what differs from it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


class Sound:
    """An undisturbed run."""

    def __init__(self, run: Path) -> None:
        self._result = pq.read_table(run / "result.parquet")
        self._submission = (run / "submission.csv").read_bytes()

    def differs(self, run: Path) -> str:
        """What is wrong with another run of the same rows: "lost", "doubled", "other"; "" where nothing is."""
        try:
            result = pq.read_table(run / "result.parquet", page_checksum_verification=True)
        except (pa.ArrowInvalid, OSError) as error:  # a reader is told
            return "" if "crc" in str(error).lower() or "corrupt" in str(error).lower() else "other"
        rows = result["row"].to_pylist()
        if set(rows) != set(range(self._result.num_rows)):
            return "lost"
        if len(rows) != self._result.num_rows:
            return "doubled"
        same = result.drop_columns(["file"]).equals(self._result.drop_columns(["file"]))
        return "" if same and (run / "submission.csv").read_bytes() == self._submission else "other"
