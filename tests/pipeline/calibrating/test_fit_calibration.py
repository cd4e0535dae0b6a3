from lib.pipeline.calibrating.fit_calibration import Method
from lib.scoring.calibrating.choosing import METHODS


def test_every_method_can_be_named() -> None:
    assert {method.value for method in Method} == {"auto", *(method.name for method in METHODS)}
