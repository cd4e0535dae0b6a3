"""Two runs beside each other: which rows are the same, and where the runs disagree about them."""

import pyarrow as pa

from lib.errors import InputError
from lib.report.viewer.row_files import RowFiles
from lib.report.viewer.row_index import RowIndex
from lib.report.viewer.selection import Flag
from lib.report.viewer.sql import PLACE, literal, quoted, rows_of
from lib.types import PROBABILITIES

_TOLD_BY = ("verdict", "vector", "text", "texts", "grade", "passage_ids", "scores")
"""What runs disagree about: the first of these columns that both have. Beside a vector, `text` is what was read."""


def pair_with(index: RowIndex, other: RowIndex) -> str:
    """Say of each row of `index` whether the other run says the same; `other_of` then tells its row there.

    Returns how the rows were matched, and what is compared, in words. Raises InputError where rows can't be matched,
    or have nothing in common that could be compared.
    """
    mine, others = index.files.columns.names, other.files.columns.names
    told = next((name for name in _TOLD_BY if name in mine and name in others), None)
    if told is None:
        raise InputError(
            f"{other.files.folder}: is of jobs.{other.files.manifest.job}, and {index.files.folder} of "
            f"jobs.{index.files.manifest.job}: they have no answers of a kind; give two runs of one job"
        )
    keys = ["source", "row"] if _same_input(index.files, other.files) else ["id"]
    floats = [{f.name for f in side.files.columns if pa.types.is_floating(f.type)} for side in (index, other)]
    distances = [name for name in _distances(told) if all(name in names for names in floats)]
    wanted = [*keys, f"hash({quoted(told)}) AS told", *map(quoted, distances)]
    for name, side in (("ours", index), ("theirs", other)):
        index.run(f"CREATE TABLE {name} AS SELECT * FROM (SELECT 0 AS n, {_of_nothing(keys, distances)}) WHERE false")
        first = 0
        for path, behind in zip(side.files.paths, _ends(side), strict=True):
            sources = [file.source for file in side.files.manifest.inputs]
            columns = ", ".join("list_position($sources, file) - 1" if key == "source" else key for key in wanted)
            given = {"path": literal(path)} | ({"sources": sources} if "source" in keys else {})
            sql = f"INSERT INTO {name} SELECT {PLACE} + {first}, {columns} FROM {rows_of(side.files.stored)}"
            index.run(sql, given)
            first = behind
    if keys == ["id"]:
        _require_ids(index, other)
    distance = " + ".join(f"abs(ours.{quoted(name)} - theirs.{quoted(name)})" for name in distances) or "NULL"
    index.run(
        f"CREATE TABLE paired AS SELECT rows.*, theirs.n AS other, theirs.n IS NULL AS is_alone, "
        f"coalesce(ours.told IS DISTINCT FROM theirs.told AND theirs.n IS NOT NULL, false) AS is_differs, "
        f"CASE WHEN isnan({distance}) THEN NULL ELSE {distance} END AS distance "
        f"FROM rows JOIN ours USING (n) LEFT JOIN theirs ON {' AND '.join(f'ours.{k} = theirs.{k}' for k in keys)}"
    )
    for statement in ("DROP TABLE rows", "DROP TABLE ours", "DROP TABLE theirs", "ALTER TABLE paired RENAME TO rows"):
        index.run(statement)
    sql = "SELECT count(*) FILTER (is_differs), count(*) FILTER (is_alone), count(*) FROM rows"
    differ, alone, rows = index.run(sql)[0]
    if alone == rows:
        raise InputError(f"{index.files.folder} and {other.files.folder}: no row is in both; give runs of one input")
    index.counts |= {Flag.differs: differ, Flag.alone: alone}
    by = "by their ids" if keys == ["id"] else "by their places in the same input"
    return f"{told}: {differ:,} of {rows - alone:,} rows differ (matched {by}); {alone:,} are in this run only"


def other_of(index: RowIndex, n: int) -> int | None:
    """The number that row n has in the other run; None where it is not there."""
    found: int | None = index.run("SELECT other FROM rows WHERE n = $n", {"n": n})[0][0]
    return found


def _same_input(one: RowFiles, other: RowFiles) -> bool:
    def chosen(files: RowFiles) -> object:
        return [(file.sha256, file.rows) for file in files.manifest.inputs]

    return chosen(one) == chosen(other)


def _distances(told: str) -> tuple[str, ...]:
    return {"verdict": PROBABILITIES, "grade": ("grade",)}.get(told, ())


def _of_nothing(keys: list[str], distances: list[str]) -> str:
    kinds = {"id": "''", "source": "0", "row": "0::BIGINT"}
    return ", ".join([*(f"{kinds[key]} AS {key}" for key in keys), "0::UBIGINT AS told",
                      *(f"0::DOUBLE AS {quoted(name)}" for name in distances)])  # fmt: skip


def _ends(side: RowIndex) -> list[int]:
    return [*side.firsts[1:], side.total]


def _require_ids(index: RowIndex, other: RowIndex) -> None:
    for name, side in (("ours", index), ("theirs", other)):
        if index.run(f"SELECT count(id) FROM {name}")[0][0] == 0:
            raise InputError(
                f"{side.files.folder}: its rows have no ids, and the two runs have read different inputs, so that rows "
                "can't be matched; give runs of one input, or data.columns.id=NAME to both"
            )
