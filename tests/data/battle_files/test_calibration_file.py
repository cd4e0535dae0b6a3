import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.data.battle_files.calibration_file import Calibration, read_calibration, write_calibration
from lib.errors import InputError
from lib.scoring.calibrating.scaling import Stack
from lib.scoring.calibrating.temperature import TemperatureTie


def test_it_comes_back(tmp_path: Path) -> None:
    stack = Stack(weights=np.arange(18.0).reshape(2, 3, 3) / 7, biases=np.array([0.1, 1e-17, -3]))
    write_calibration(tmp_path / "new" / "c.json", Calibration(stack, {"rows": 3}, {"folds": 5}))
    read = read_calibration(tmp_path / "new" / "c.json")
    assert isinstance(read.calibrator, Stack)
    np.testing.assert_array_equal(read.calibrator.weights, stack.weights)
    np.testing.assert_array_equal(read.calibrator.biases, stack.biases)
    assert (read.fitted_on, read.held_out) == ({"rows": 3}, {"folds": 5})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 2}, "version 2: this program reads calibrations of version 1; fit it again"),
        ({"version": True}, "version True"),
        ({"version": None}, "version None"),
        ({"method": "magic"}, "method 'magic': there are temperature, temperature_tie, davidson"),
        ({"method": ["vector"]}, r"method \['vector'\]: there are"),
        ({"parameters": {"temperature": 1.5}}, "parameters: must be temperature, tie_offset"),
        ({"parameters": {"temperature": 1.5, "tie_offset": float("nan")}}, "parameters.tie_offset: must be finite"),
        ({"held_out": 3}, "held_out: must be an object"),
        ({"fitted_on": None}, "fitted_on: must be an object"),
    ],
)
def test_what_it_does_not_read_is_named_with_the_file(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    write_calibration(path, Calibration(TemperatureTie(temperature=1.5, tie_offset=0.1), {}, {}))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=r"c\.json: " + why):
        read_calibration(path)


@pytest.mark.parametrize("key", ["method", "parameters", "fitted_on", "held_out"])
def test_a_missing_key_is_named(key: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    write_calibration(path, Calibration(TemperatureTie(temperature=1.5, tie_offset=0.1), {}, {}))
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"c\.json: {key} is missing"):
        read_calibration(path)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00", "[" * 100_000])
def test_what_is_no_calibration(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError, match=r"c\.json: not a calibration"):
        read_calibration(tmp_path / "c.json")
    with pytest.raises(InputError, match=r"gone\.json: no such file"):
        read_calibration(tmp_path / "gone.json")
