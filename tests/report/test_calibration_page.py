import numpy as np

from lib.report.calibration_page import comparison_table, interval_text, render_calibration
from lib.scoring.calibrating.base import Inputs
from lib.scoring.calibrating.choosing import compare
from lib.scoring.calibrating.temperature import Temperature, TemperatureTie
from lib.scoring.inference.estimates import Estimate
from tests.scoring.calibrating.drawing import draw


def found():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], 200)
    inputs = Inputs(probabilities=p)
    return compare([Temperature, TemperatureTie], inputs, p, draw(p, rng), np.arange(200, dtype=np.uint64))


def test_the_table_has_each_method_beside_raw_and_prior():
    comparison = found()
    lines = comparison_table(comparison).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["prior", "raw", "temperature", "temperature_tie"]
    assert f"{comparison.raw.log_loss:.5f}" in lines[2]
    assert interval_text(comparison.methods["temperature"].to_prior) in lines[3]
    assert len({len(line) for line in lines}) == 1


def test_a_difference_with_its_interval():
    assert interval_text(Estimate(-0.0012345, -0.002, 0.0004)) == "-0.00123 [-0.00200, +0.00040]"


def test_the_page_shows_the_reliability_before_and_after():
    page = render_calibration("calibration: c.json", ["<lead>"], found(), "temperature", [("method", "temperature")])
    assert page.count("<svg") == 2
    assert "&lt;lead&gt;" in page
    assert "After: temperature, on rows held out" in page
