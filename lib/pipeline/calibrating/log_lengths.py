"""How much longer one response of a battle is than the other."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data.manifest import Manifest
from lib.pipeline.rows_of_run import battles_of, rows_of
from lib.scoring.probabilities import FloatArray


def log_lengths(manifest: Manifest, folder: Path) -> FloatArray:
    """ln(length of A / length of B) of each row [n] of a run, in the order of its result; NaN where it has no texts.

    Lengths are characters of all turns of a response, each plus 1, so that an empty one has a logarithm. Raises as
    `rows_of`.
    """
    return np.concatenate([np.empty(0), *map(_of_rows, rows_of(folder, manifest, battles_of(folder, manifest)))])


def _of_rows(rows: pa.Table) -> FloatArray:
    a, b = (_characters(rows[side]) for side in ("response_a", "response_b"))
    return np.asarray(np.log((a + 1) / (b + 1)))


def _characters(turns: pa.ChunkedArray) -> FloatArray:
    """Characters [n] of lists of texts; NaN for null."""
    turns = turns.combine_chunks()
    counts = pc.fill_null(pc.list_value_length(turns), 0).to_numpy(zero_copy_only=False)
    each = pc.fill_null(pc.utf8_length(pc.list_flatten(turns)), 0).to_numpy(zero_copy_only=False)
    sums = np.concatenate([[0], np.cumsum(each)])[np.concatenate([[0], np.cumsum(counts)])]
    found = np.diff(sums).astype(np.float64)
    found[turns.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return found
