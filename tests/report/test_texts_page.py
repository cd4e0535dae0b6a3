"""A sweep's runs side by side: settings may be numbers, texts, lists, or none."""

from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa

from lib.data import parquet
from lib.report.texts_page import Point, TextMetrics, measure_texts, render_sweep, render_texts, sweep_table
from tests.report.svg import texts


def points(**settings: list[Any]) -> list[Point]:
    found = []
    for number, values in enumerate(product(*settings.values())):
        metrics = TextMetrics(rows=1, failed=0, samples=2, ended={"stop": 2}, prompt_tokens=1, new_tokens=1, cut_rows=0,
                              tokenizer="words", diversity={"self_bleu": number / 10})  # fmt: skip
        named = {f"task.generate.{key}": value for key, value in zip(settings, values, strict=True) if value != "-"}
        found.append(Point(f"run-{number}", named, metrics, f"../run-{number}/report.html"))
    return found


def test_a_heat_map_of_settings_of_any_kind() -> None:
    sweep = points(stop=[["b"], ["a"]], max_new_tokens=[10, None, 9, "-"])
    page = render_sweep(sweep, "sweep")
    assert "Self-BLEU by stop and max_new_tokens" in page
    labels = texts(page[page.index("<svg") : page.index("</svg>") + 6])
    assert [text for text in labels if text in ("9", "10", "None")] == ["9", "10", "None"]
    assert labels.index("['a']") < labels.index("['b']")
    assert [row[:3] for row in sweep_table(sweep)[1]][:3] == [
        ("run-6", "['a']", "9"), ("run-4", "['a']", "10"), ("run-5", "['a']", "None")
    ]  # fmt: skip
    assert '<a href="../run-6/report.html">run-6</a>' in page


def test_the_text_of_a_failed_row_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "result.parquet"
    table = pa.table({"row": [0, 1, 2], "id": ["a", None, "c"],
                      "text": ["fine", "broken", None], "finish_reason": ["length", "stop", None],
                      "new_tokens": [2, 3, None], "tokens": [5, 6, None], "cut": [0, 1, None],
                      "error": [None, "not of generate.json_schema: x", "lost"]})  # fmt: skip
    parquet.write(table, path)
    metrics = measure_texts(path, None)
    assert (metrics.rows, metrics.failed, metrics.samples, metrics.ended) == (3, 2, 1, {"length": 1})
    assert (metrics.new_tokens, metrics.prompt_tokens, metrics.cut_rows) == (2, 5, 0)
    page = render_texts(metrics, path, "x", {}, [{"question": "What?"}, {"question": "long " * 200}])
    assert "(failed: not of generate.json_schema: x)" in page
    assert "<td>a</td><td>What?</td><td>fine</td>" in page
    assert f"<td>row 1</td><td>{'long ' * 99}long…</td>" in page
    assert "<td>c</td><td>–</td>" in page  # what it asked is not known
    assert ">Why rows failed</h2>" in page
    assert "broken" not in page
