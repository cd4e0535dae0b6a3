"""A sweep's runs side by side: settings may be numbers, texts, lists, or none."""

from itertools import product
from typing import Any

from lib.report.texts_page import Point, TextMetrics, render_sweep, sweep_table
from tests.report.svg import texts


def points(**settings: list[Any]) -> list[Point]:
    found = []
    for number, values in enumerate(product(*settings.values())):
        metrics = TextMetrics(rows=1, failed=0, samples=2, ended={"stop": 2}, prompt_tokens=1, new_tokens=1, cut_rows=0,
                              tokenizer="words", diversity={"self_bleu": number / 10})  # fmt: skip
        named = {f"task.generate.{key}": value for key, value in zip(settings, values, strict=True) if value != "-"}
        found.append(Point(named, metrics))
    return found


def test_a_heat_map_of_settings_of_any_kind() -> None:
    sweep = points(stop=[["b"], ["a"]], max_new_tokens=[10, None, 9, "-"])
    page = render_sweep(sweep, "sweep")
    assert "Self-BLEU by stop and max_new_tokens" in page
    labels = texts(page[page.index("<svg") : page.index("</svg>") + 6])
    assert [text for text in labels if text in ("9", "10", "None")] == ["9", "10", "None"]
    assert labels.index("['a']") < labels.index("['b']")
    assert [row[:2] for row in sweep_table(sweep)[1]][:3] == [("['b']", "10"), ("['b']", "None"), ("['b']", "9")]
