import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lib.data import parquet
from lib.errors import InputError
from lib.report.aggregates.aggregate_section import aggregate_lines, aggregate_section
from lib.report.aggregates.read_judgements import read_judgements
from lib.scoring.aggregates.arena_hard import arena_hard

LABELS = ["m", "M"]
OUTCOMES = np.eye(3)[:2]


def result(folder: Path, **columns: Any) -> Path:
    rows = len(next(iter(columns.values())))
    usual = {
        "row": list(range(rows)),
        "id": [None] * rows,
        "label": [None] * rows,
        "error": pa.nulls(rows, pa.string()),
    }
    parquet.write(pa.table({**usual, **columns}), folder / "result.parquet")
    return folder / "result.parquet"


def logprobs(*rows: list[float] | None) -> pa.Array:
    return pa.array([None if row is None else np.log(row) for row in rows], pa.list_(pa.float32(), 2))


def test_log_probabilities_become_shares(tmp_path: Path) -> None:
    path = result(
        tmp_path,
        ab_logprobs=logprobs([0.3, 0.1], [0.2, 0.2], [0.1, 0.1]),
        ba_logprobs=logprobs([0.1, 0.4], None, [0.1, 0.1]),
        label=["A", "tie", None],
        error=[None, None, "broken"],
        model_a=["x", "x", "y"],
        model_b=["y", "z", "z"],
        length_a=[1, 2, 3],
        length_b=[4, 5, 6],
    )
    found = read_judgements(path, LABELS, OUTCOMES, [], orders=2)
    assert found.ab[:2] == pytest.approx(np.array([[0.75, 0.25], [0.5, 0.5]]))
    assert found.ba[0] == pytest.approx([0.2, 0.8])
    assert np.isnan(found.ba[1:]).all()
    assert np.isnan(found.ab[2]).all()  # a failed row, whatever it holds
    assert found.systems == [("x", "y"), ("x", "z"), ("y", "z")]
    assert found.labels.tolist() == [0, 2, -1]
    assert found.weights.tolist() == [1, 1]
    assert found.lengths is not None
    assert found.lengths.tolist() == [[1, 4], [2, 5], [3, 6]]
    assert found.clusters == [0, 1, 2]


def test_written_verdicts_become_shares(tmp_path: Path) -> None:
    path = result(tmp_path, verdicts=[["m", "M", "M", None], [None, None, "m", "m"]], question=["q", "q"])
    found = read_judgements(path, LABELS, OUTCOMES, [2, 1], orders=2)
    assert found.ab[0].tolist() == [0.5, 0.5]
    assert found.ba.tolist() == [[0, 1], [1, 0]]
    assert math.isnan(found.ab[1, 0])
    assert (found.systems, found.lengths) == (None, None)
    assert found.clusters == ["q", "q"]
    one = read_judgements(path, LABELS, OUTCOMES, [], orders=1)
    assert one.ab[0] == pytest.approx([1 / 3, 2 / 3])
    assert np.isnan(one.ba).all()


def test_systems_that_are_not_all_named_are_unknown(tmp_path: Path) -> None:
    path = result(tmp_path, verdicts=[["m"], ["m"]], model_a=["x", None], model_b=["y", "z"])
    assert read_judgements(path, LABELS, OUTCOMES, [], orders=1).systems is None


def test_a_result_without_verdicts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no verdicts of a judge"):
        read_judgements(result(tmp_path, score_a=[1.0]), LABELS, OUTCOMES, [], orders=2)


def test_the_page_shows_each_system(tmp_path: Path) -> None:
    path = result(tmp_path, verdicts=[["m", "M"], ["M", "M"]], model_a=["<x>", "<x>"], model_b=["y", "y"])
    content = {"rule": "arena_hard", **arena_hard(read_judgements(path, LABELS, OUTCOMES, [], orders=2), None)}
    section = aggregate_section(content)
    assert section.table is not None
    assert section.table.rows[0][0] == "y"
    assert "The baseline is <x>." in aggregate_lines(content)


def test_the_best_system_stands_first(tmp_path: Path) -> None:
    path = result(tmp_path, verdicts=[["m", "M"], ["M", "m"]], model_a=["x", "x"], model_b=["a", "b"])
    content = {"rule": "arena_hard", **arena_hard(read_judgements(path, LABELS, OUTCOMES, [], orders=2), None)}
    table = aggregate_section(content).table
    assert table is not None
    rates = {row[0]: float(row[1]) for row in table.rows}
    assert [row[0] for row in table.rows] == sorted(rates, key=lambda name: -rates[name])
    assert len(set(rates.values())) == 2
    worse_first = {**content, "systems": dict(sorted(content["systems"].items(), key=lambda own: rates[own[0]]))}
    assert aggregate_section(worse_first).table == table
