import re

import numpy as np
import pytest

from lib.report.figures import confusion_matrix, reliability_diagram
from lib.scoring.metrics import reliability
from tests.report.svg import check, texts


@pytest.fixture
def battles():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], 300)
    return p, (rng.random((300, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=2)


def test_figures_are_one_scalable_element_in_the_colour_of_the_page(battles):
    for svg in (reliability_diagram(reliability(*battles)), confusion_matrix(np.eye(3))):
        check(svg)


def test_the_same_data_give_the_same_text(battles):
    assert reliability_diagram(reliability(*battles)) == reliability_diagram(reliability(*battles))
    assert reliability_diagram(reliability(*battles)) != reliability_diagram(reliability(battles[0] ** 2, battles[1]))


def test_confusion_matrix_shows_counts_and_shares_of_the_label():
    svg = confusion_matrix(np.array([[12345, 0, 0], [1.5, 0.5, 0], [0, 0, 0]]))
    shown = texts(svg)
    for text in ("12,345", "100%", "1.5", "75%", "0.5", "25%", "A", "B", "tie", "label", "verdict"):
        assert text in shown
    assert shown.count("0%") == 6


def test_reliability_diagram_draws_one_point_per_bin_that_has_rows():
    p = np.array([[0.45, 0.3, 0.25], [0.46, 0.3, 0.24], [0.9, 0.05, 0.05]])
    svg = reliability_diagram(reliability(p, np.array([0, 1, 0])))
    markers = re.findall(r'<use xlink:href="#m[^"]*" x="[\d.]+" y="[\d.]+" style="fill: #4a88d8', svg)
    assert len(markers) == 2


def test_a_single_row_can_be_drawn():
    assert "<svg" in reliability_diagram(reliability(np.array([[1.0, 0.0, 0.0]]), np.array([2])))
