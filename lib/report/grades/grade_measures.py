"""What is measured in a run of grades, block by block."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.data import parquet
from lib.errors import InputError
from lib.scoring.aggregates.means import Mean, MeanSums
from lib.scoring.probabilities import FloatArray

CLUSTERS = ("question_id", "question")
_SYSTEMS = ("model", "system")
GROUPS = (*_SYSTEMS, "category", "turn", "language")
KEPT = (*CLUSTERS, *GROUPS)
"""Columns of a table by which grades are summed up; of CLUSTERS the first that is there."""

_BLOCK_ROWS = 16_384
_MOST_GROUPS = 1000  # of a column: one with more is no group
_GRADE = "grade"


@dataclass(frozen=True, kw_only=True)
class GradeMetrics:
    """Of a run of `jobs.grade`.

    failed: rows without a grade. cluster: the column by whose values rows depend on each other, None: they don't.
    histogram: rows by the nearest grade. criteria: name -> mean. by: column -> its value -> mean (and run -> mean, of
    several); "model, turn" where there are both, and so on: the columns in the order of GROUPS.
    """

    rows: int
    failed: int
    mean: Mean
    cluster: str | None
    histogram: Mapping[str, int]
    label_mass: float | None
    criteria: Mapping[str, Mean]
    by: Mapping[str, Mapping[str, Mean]]

    def content(self) -> dict[str, Any]:
        """For JSON."""
        share = self.failed / self.rows if self.rows else None
        found = {**asdict(self), **asdict(self.mean), "rows": self.rows, "graded": self.mean.rows}
        return {**found, "without_grade": share}


def measure_grades(results: Mapping[str, Path], grades: Sequence[float], criteria: Sequence[str]) -> GradeMetrics:
    """Measure one or more results together, by the names of their runs; with more there are means by run.

    grades: of the scale, ascending. criteria: their names. Raises InputError for a result without grades.
    """
    columns = set[str].intersection(*(_columns(result) for result in results.values()))
    cluster = next((name for name in CLUSTERS if name in columns), None)
    there = [name for name in GROUPS if name in columns]
    groups: list[tuple[str, ...]] = [(name,) for name in there]
    groups += [(system, name) for system in there if system in _SYSTEMS for name in there if name not in _SYSTEMS]
    own = {name: f"{_GRADE}_{name}" for name in criteria}
    mass = ["label_mass"] if "label_mass" in columns else []
    wanted = list(dict.fromkeys([_GRADE, "error", *own.values(), *mass, *filter(None, [cluster]), *there]))
    rows = failed = 0
    overall, of_criteria = MeanSums(), {name: MeanSums() for name in own}
    by: dict[tuple[str, ...], dict[str, MeanSums]] = {group: {} for group in [*[("run",)][: len(results) - 1], *groups]}
    masses = MeanSums()
    counts: Counter[int] = Counter()
    for run, result in results.items():
        for batch in parquet.batches(result, _BLOCK_ROWS, wanted):
            fine = batch.filter(pc.is_null(batch["error"]))
            values = _floats(fine[_GRADE])
            keys = None if cluster is None else _texts(fine[cluster])
            rows, failed = rows + batch.num_rows, failed + batch.num_rows - fine.num_rows
            overall.add(values, keys)
            counts.update(_nearest(values, grades))
            for name, column in own.items():
                of_criteria[name].add(_floats(fine[column]), keys)
            if mass:
                masses.add(_floats(fine["label_mass"]))
            for group, found in by.items():
                names = [[run] * len(values) if name == "run" else _texts(fine[name]) for name in group]
                _add(found, list(zip(*names, strict=True)), values, keys)

    def bounded(sums: MeanSums) -> Mean:
        return sums.mean().within(grades[0], grades[-1])

    return GradeMetrics(
        rows=rows,
        failed=failed,
        mean=bounded(overall),
        cluster=cluster,
        histogram={f"{grade:g}": counts[place] for place, grade in enumerate(grades)},
        label_mass=masses.mean().mean,
        criteria={name: bounded(sums) for name, sums in of_criteria.items()},
        by={
            ", ".join(group): {name: bounded(found[name]) for name in sorted(found, key=_natural)}
            for group, found in by.items()
            if 0 < len(found) <= _MOST_GROUPS
        },
    )


def _columns(result: Path) -> set[str]:
    columns = parquet.schema(result).names
    if _GRADE not in columns:
        raise InputError(f"{result}: has no column of grades, so it is not of jobs.grade")
    return set(columns)


def _add(
    found: dict[str, MeanSums], groups: Sequence[Sequence[str]], values: FloatArray, keys: Sequence[str] | None
) -> None:
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(", ".join(group), []).append(place)
    for name, own in places.items():
        if len(found) <= _MOST_GROUPS:
            sums = found.setdefault(name, MeanSums())
            sums.add(values[own], None if keys is None else [keys[place] for place in own])


def _nearest(values: FloatArray, grades: Sequence[float]) -> list[int]:
    """The number of the grade that is nearest to each value, the higher of equals."""
    known = values[~np.isnan(values)]
    middles = (np.array(grades[1:]) + np.array(grades[:-1])) / 2
    return [int(place) for place in np.searchsorted(middles, known, side="right")]


def _floats(column: pa.Array) -> FloatArray:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _texts(column: pa.Array) -> list[str]:
    return ["–" if value is None else str(value) for value in column.to_pylist()]


def _natural(name: str) -> tuple[bool, float, str]:
    """Numbers by their size, before words."""
    number = name.replace(".", "", 1).isdigit()
    return not number, float(name) if number else 0.0, name
