import numpy as np
import pytest

from lib.tasks.battle_requests import verdict_columns

NAN = float("nan")


@pytest.mark.parametrize(
    ("probabilities", "verdict"),
    [
        ([0.5, 0.3, 0.2], "A"),
        ([0.2, 0.5, 0.3], "B"),
        ([0.2, 0.3, 0.5], "tie"),
        ([0.4, 0.4, 0.2], "A"),
        ([0.2, 0.4, 0.4], "B"),
        ([0.4, 0.2, 0.4], "A"),
        ([1 / 3, 1 / 3, 1 / 3], "A"),
        ([NAN, NAN, NAN], None),
        ([0.1, NAN, 0.9], None),
    ],
)
def test_the_verdict_is_the_most_probable_and_of_equal_ones_the_first(
    probabilities: list[float], verdict: str | None
) -> None:
    *columns, verdicts = verdict_columns(np.array([probabilities, [0.1, 0.8, 0.1]]))
    assert verdicts.to_pylist() == [verdict, "B"], "each row has its own"
    np.testing.assert_array_equal(np.column_stack(columns), [probabilities, [0.1, 0.8, 0.1]])
