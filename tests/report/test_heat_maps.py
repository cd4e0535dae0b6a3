import numpy as np
import pytest

from lib.report.heat_maps import heat_map, win_heat_map
from tests.report.svg import check, fills, overflow, texts

LONG = "an experiment with a name of very many words indeed, until its end"
ODD = ["<b>&amp; \"quoted\" 'x'", "costs $5 to $10_000", "資料を与えた回答", "line\nbreak\x00", "😀 ok"]


def wins(s, rng):
    matrix = rng.integers(0, 2000, (s, s))
    np.fill_diagonal(matrix, 0)
    return matrix


def test_wins_are_numbers_in_cells_shaded_by_size():
    svg = win_heat_map(["資料なし", "rerank"], np.array([[0, 1200], [300, 0]]))
    check(svg)
    shown = ["1", "1,200", "2", "300", "rerank · 2", "wins of the row over the column", "資料なし · 1"]
    assert sorted(texts(svg)) == shown
    assert fills(svg) == pytest.approx([0.7, 0.06 + 0.64 / 4])  # none on the diagonal


@pytest.mark.parametrize("s", [2, 3, 6, 20])
@pytest.mark.filterwarnings("error")
def test_any_number_of_systems_with_any_names_fits(s):
    names = [f"{LONG if i % 2 else ODD[i % 5]} {i}" for i in range(s)]
    svg = win_heat_map(names, wins(s, np.random.default_rng(s)))
    check(svg)
    assert overflow(svg) == []
    assert len(fills(svg)) == s * (s - 1)
    assert [text[-5:] for text in texts(svg) if " · " in text][:2] == ["0 · 1", "1 · 2"]


def test_no_wins_at_all():
    assert fills(win_heat_map(["a", "b"], np.zeros((2, 2), dtype=int))) == pytest.approx([0.06, 0.06])


@pytest.mark.filterwarnings("error")
def test_heat_map_is_shaded_from_smallest_to_largest_and_leaves_the_unknown_out():
    values = np.array([[0.2, 0.4, np.nan], [0.3, 0.2, 0.25]])
    svg = heat_map(
        ["0.1", "1.0"], ["0.1", "0.8", "1"], values, row_title="temperature", column_title="top_p", form=".3f"
    )
    check(svg)
    assert overflow(svg) == []
    shown = texts(svg)
    for text in ("0.200", "0.400", "–", "0.300", "0.250", "temperature ↓, top_p →", "0.1", "1.0", "0.8"):
        assert text in shown
    assert fills(svg) == pytest.approx([0.06, 0.7, 0.38, 0.06, 0.22])


def test_equal_values_have_one_shade_and_nothing_known_none():
    assert fills(heat_map(["a"], ["b", "c"], np.array([[2.0, 2.0]]))) == pytest.approx([0.38, 0.38])
    assert fills(heat_map(["a"], ["b"], np.array([[np.nan]]))) == []


def test_labels_and_titles_are_text_whatever_is_in_them():
    svg = heat_map(ODD, [LONG, "<script>"], np.zeros((5, 2)), column_title="&<>")
    shown = texts(svg)
    assert overflow(svg) == []
    assert "<script>" in shown
    assert "costs $5 to $10_000" in shown
    assert "line break " in shown
    assert "&<> →" in shown
