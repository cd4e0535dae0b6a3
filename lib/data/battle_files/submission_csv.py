"""How a submission is written, fast: its cells are put together in whole columns."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lib.data.atomic import atomic_path
from lib.scoring.probabilities import to_millionths

WINNERS = ("winner_model_a", "winner_model_b", "winner_tie")
COLUMNS = ("id", *WINNERS)

_SPECIAL = '[,"\r\n]'


def write_csv(path: Path, blocks: Iterable[tuple[pa.Array, npt.NDArray[np.float64]]]) -> int:
    """Write ids (strings, [n]) and probabilities [n, 3], but for rows without an id; returns how many were written."""
    rows = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(",".join(COLUMNS).encode() + b"\n")
        for ids, probabilities in blocks:
            named = ids.is_valid().to_numpy(zero_copy_only=False)
            lines = pc.binary_join_element_wise(_quoted(ids.drop_null()), _numbers_of_lines(probabilities[named]), "")
            _, offsets, content = lines.buffers()
            ends = np.frombuffer(offsets, np.int32)
            if len(lines):
                file.write(memoryview(content)[ends[lines.offset] : ends[lines.offset + len(lines)]])
            rows += len(lines)
    return rows


def _quoted(ids: pa.Array) -> pa.Array:
    """Cells. The csv module leaves a lone carriage return unquoted, at which readers would end the row."""
    special = pc.match_substring_regex(ids, _SPECIAL)
    if not pc.any(special).as_py():
        return ids
    escaped = pc.replace_substring(ids, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', escaped, '"', ""), ids)


def _numbers_of_lines(probabilities: npt.NDArray[np.float64]) -> pa.Array:
    """What follows the id in each line: ",0.333333,0.333333,0.333334" and the line's end."""
    lines = np.empty((len(probabilities), 28), np.uint8)
    for column, millionths in enumerate(to_millionths(probabilities).T):
        cell = lines[:, 9 * column : 9 * column + 9]
        cell[:, 0], cell[:, 2] = ord(","), ord(".")
        for place, power in enumerate((1_000_000, 100_000, 10_000, 1000, 100, 10, 1)):
            cell[:, place + (place > 0) + 1] = ord("0") + millionths // power % 10
    lines[:, 27] = ord("\n")
    offsets = np.arange(0, lines.size + 1, 28, dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(lines), [None, pa.py_buffer(offsets), pa.py_buffer(lines)])
