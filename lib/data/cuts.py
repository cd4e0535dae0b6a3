"""How much of its texts a run had to cut so that requests fit: from the columns of its result that count the tokens."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from lib.data import parquet
from lib.types import BATTLE_TEXTS

CUT_COLUMNS = ("cut", *(f"cut_{text}" for text in (*BATTLE_TEXTS, "reference")))
"""What tasks call them (int32): of a row's texts together, or of each text of a battle."""

_ROWS = 65_536


@dataclass(frozen=True)
class Cuts:
    """rows: those of which something was cut, of `of`. tokens: cut in all; most: in one row."""

    rows: int
    of: int
    tokens: int
    most: int

    def __str__(self) -> str:
        if not self.rows:
            return f"none of {self.of:,} rows"
        return f"{self.rows:,} of {self.of:,} rows, by {self.tokens:,} tokens in all and {self.most:,} at most"


def read_cuts(result: Path) -> Cuts | None:
    """The cuts of a result; None where its job cuts nothing."""
    names = [f.name for f in parquet.schema(result) if f.name in CUT_COLUMNS and f.type == pa.int32()]
    if not names:
        return None
    rows = of = tokens = most = 0
    for batch in parquet.batches(result, _ROWS, names):
        lost = np.zeros(batch.num_rows, np.int64)
        for column in batch.columns:
            lost += column.fill_null(0).to_numpy()
        rows, of, tokens = rows + int(np.count_nonzero(lost > 0)), of + len(lost), tokens + int(lost.sum())
        most = max(most, int(lost.max(initial=0)))
    return Cuts(rows, of, tokens, most)
