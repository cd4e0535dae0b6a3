"""A folder of battles as nights find it: files come and go, and rows change."""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.running import ROOT

Battle = dict[str, str]
Content = tuple[str, ...]

REAL = ROOT.parent / "shared" / "data" / "arena_kaggle" / "train_first100.csv"


def battles(count: int) -> list[Battle]:
    """The first real battles; made ones where these are absent."""
    if not REAL.is_file():
        columns = ("prompt", "response_a", "response_b")
        texts = ({name: json.dumps([f"{name} {n} " * (n % 7 + 1)]) for name in columns} for n in range(count))
        winners = ("winner_model_a", "winner_model_b", "winner_tie")
        return [
            {"id": str(n), **text, **{name: str(int(n % 3 == place)) for place, name in enumerate(winners)}}
            for n, text in enumerate(texts)
        ]
    with REAL.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))[:count]


class Folder:
    """The files of an input. path: where they lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, list[Battle]] = {}
        path.mkdir(parents=True)

    def write(self, name: str, rows: Sequence[Battle]) -> bytes:
        """Put a file there, in place of one of its name. Returns what is in it."""
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
        self._files[name] = list(rows)
        (self.path / name).write_bytes(content := text.getvalue().encode())
        return content

    def read(self, name: str) -> list[Battle]:
        """The rows of a file."""
        return [dict(row) for row in self._files[name]]

    def remove(self, name: str) -> None:
        """Take a file away."""
        del self._files[name]
        (self.path / name).unlink()

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(map(len, self._files.values()))

    def asks(self, columns: Sequence[str], *, draws: bool) -> set[Content]:
        """What is asked, each once. columns: those that are read of a row. draws: equal rows ask for more draws."""
        asked = Counter(tuple(row[name] for name in columns) for rows in self._files.values() for row in rows)
        return {(*cells, str(n)) for cells, count in asked.items() for n in range(count if draws else 1)}
