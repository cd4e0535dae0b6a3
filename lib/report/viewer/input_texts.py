"""The texts that rows were asked with, from the files of the run folder that hold its input."""

from collections.abc import Callable, Sequence

from lib.report.viewer.row_index import Cells, RowIndex
from lib.report.viewer.sql import literal, quoted, rows_of, shortened

ReadSource = Callable[[int, int], Cells]
"""Reads a row where it isn't in the run folder: of the number of its input, and its row there."""

_NOT_SHOWN = {"file", "row", "id", "error", "label", "question", "model_a", "model_b"}


def input_cells(index: RowIndex, numbers: Sequence[int], short: int | None = None) -> dict[int, Cells]:
    """What the run folder holds of the input of rows, by their numbers; others are left out.

    short: characters of each text at most, and of lists the first text alone.
    """
    found: dict[int, Cells] = {}
    for source, path, columns in index.inputs:
        names = [name for name in columns.names if name not in _NOT_SHOWN and not name.startswith("row.")]
        taken = [quoted(name) if short is None else shortened(columns.field(name), short) for name in names]
        rows = f"SELECT n, row FROM rows WHERE source = {source} AND n IN (SELECT unnest($numbers))"
        where = {row: n for n, row in index.run(rows, {"numbers": list(numbers)})}
        if where and names:
            sql = f"SELECT row, {', '.join(taken)} FROM {rows_of(columns)} WHERE row IN (SELECT unnest($rows))"
            for row, *values in index.run(sql, {"path": literal(path), "rows": list(where)}):
                found[where[row]] = dict(zip(names, values, strict=True))
    return found


def place_of(index: RowIndex, n: int) -> tuple[int, int]:
    """The number of a row's input, and its row there."""
    ((source, row),) = index.run("SELECT source, row FROM rows WHERE n = $n", {"n": n})
    return source, row


def beginning(cells: Cells) -> str:
    """How the first text of a row's input begins: what a list shows of it."""
    return next((value for value in cells.values() if isinstance(value, str) and value), "")
